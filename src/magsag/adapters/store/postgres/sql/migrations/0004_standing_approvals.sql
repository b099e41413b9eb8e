-- What people approved beforehand, as it stands: who changes one must know its version. What it says is in its run.
create table standing_approvals(
    id text collate "C" primary key,
    run text not null,
    root text collate "C" not null,
    step text not null,
    target text not null,
    revoked boolean not null,
    version bigint not null,
    made bigint not null,
    until bigint not null
);
create index standing_approvals_by_root on standing_approvals(root);
create index standing_approvals_by_target on standing_approvals(target, until);
