-- Values that transactional acts put, by a tenant's key; `run` is the one that put it last.
create table records(
    tenant text not null,
    key text not null,
    value blob not null,
    run text not null,
    updated integer not null,
    primary key(tenant, key)
) without rowid;
