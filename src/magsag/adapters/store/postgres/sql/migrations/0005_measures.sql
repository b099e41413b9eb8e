-- What ended runs show, noted by whoever asks first. They go with their runs.
create table measures(
    run text collate "C" primary key references runs on delete cascade,
    shown text not null,
    ended bigint not null,
    took bigint not null,
    nano_usd bigint not null,
    waits text not null
);

-- The newest ended runs of a program, whatever its version.
create index runs_by_program on runs(split_part(program, '@', 1), updated, run)
where status not in ('running', 'parked');
