-- What ended runs show, noted by whoever asks first. They go with their runs.
create table measures(
    run text primary key,
    shown text not null,
    ended integer not null,
    took integer not null,
    nano_usd integer not null,
    waits text not null
) without rowid;
create trigger measure_goes_with_run after delete on runs begin
    delete from measures where run = old.run;
end;

-- The newest ended runs of a program, whatever its version.
create index runs_by_program on runs(substr(program, 1, instr(program, '@') - 1), updated, run)
where status not in ('running', 'parked');
