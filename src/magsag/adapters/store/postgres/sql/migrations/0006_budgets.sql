-- What was set aside and spent of each budget (`domain.budget`); `run` is the one that it goes with.
create table budgets(
    id text collate "C" primary key,
    scope text collate "C" not null,
    unit text collate "C" not null,
    run text collate "C",
    cap bigint not null,
    reserved bigint not null check(reserved >= 0),
    spent bigint not null check(spent >= 0)
) with (fillfactor = 70);
create index budgets_by_run on budgets(run) where run is not null;
-- What steps that have begun hold back.
create table reservations(
    run text collate "C" not null,
    step text collate "C" not null,
    budget text collate "C" not null,
    amount bigint not null,
    primary key(run, step, budget)
);
-- Limits that people set, in order; the newest of a scope and unit is in force.
create table caps(
    n bigint primary key,
    scope text collate "C" not null,
    unit text collate "C" not null,
    cap bigint,
    at bigint not null,
    by text not null,
    proof text not null,
    people text not null,
    reason text not null
);
