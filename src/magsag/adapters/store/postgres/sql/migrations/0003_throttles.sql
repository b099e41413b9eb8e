-- What breakers, rates and concurrency of skills, agents and providers know: who changes one must know its version.
create table throttles(
    name text collate "C" primary key,
    version bigint not null,
    body bytea not null
) with (fillfactor = 70);
