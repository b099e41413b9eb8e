-- What was set aside and spent of each budget (`domain.budget`); `run` is the one that it goes with.
create table budgets(
    id text primary key,
    scope text not null,
    unit text not null,
    run text,
    cap integer not null,
    reserved integer not null check(reserved >= 0),
    spent integer not null check(spent >= 0)
) without rowid;
create index budgets_by_run on budgets(run) where run is not null;
-- What steps that have begun hold back.
create table reservations(
    run text not null,
    step text not null,
    budget text not null,
    amount integer not null,
    primary key(run, step, budget)
) without rowid;
-- Limits that people set, in order; the newest of a scope and unit is in force.
create table caps(
    n integer primary key,
    scope text not null,
    unit text not null,
    cap integer,
    at integer not null,
    by text not null,
    proof text not null,
    people text not null,
    reason text not null
);
