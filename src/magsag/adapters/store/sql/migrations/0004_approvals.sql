-- Tickets that asks opened, as they stand: who changes one must know its version. `salt` goes with what it is bound to.
create table approvals(
    id text primary key,
    run text not null,
    root text not null,
    step text not null,
    state text not null,
    version integer not null,
    opened integer not null,
    expires integer not null,
    salt blob,
    body blob not null
) without rowid;
create index approvals_by_root on approvals(root);
create index approvals_that_wait on approvals(opened, id) where state = 'open';
