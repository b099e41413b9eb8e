-- What breakers, rates and concurrency of skills, agents and providers know: who changes one must know its version.
create table throttles(
    name text primary key,
    version integer not null,
    body blob not null
) without rowid;
