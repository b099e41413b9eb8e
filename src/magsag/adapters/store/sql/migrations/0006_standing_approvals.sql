-- What people approved beforehand, as it stands: who changes one must know its version. What it says is in its run.
create table standing_approvals(
    id text primary key,
    run text not null,
    root text not null,
    step text not null,
    target text not null,
    revoked integer not null,
    version integer not null,
    made integer not null,
    until integer not null
) without rowid;
create index standing_approvals_by_root on standing_approvals(root);
create index standing_approvals_by_target on standing_approvals(target, until);
