-- Why the ledger is closed, while it is: at most one row (`domain.standing`). Triggers made with it refuse the writes.
create table standing(
    course text not null,
    elsewhere text not null,
    since integer not null
);
