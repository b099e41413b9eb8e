-- Runs. No integer primary key, so that a row moves with nothing but its own pages.
create table runs(
    run text not null unique,
    root text not null,
    parent text,
    program text not null,
    bundle text not null,
    tenant text not null,
    actor text not null,
    requester text not null,
    trace_id text not null,
    span_id text not null,
    status text not null,
    parked_on text,
    due integer,
    created integer not null,
    updated integer not null,
    seq integer not null,
    head blob not null
);
create index runs_by_root on runs(root);
create index runs_by_creation on runs(created, run) where run = root;
create index runs_by_due on runs(status, due, run) where run = root and status in ('running', 'parked');

-- Who drives a run tree. A row stays when a lease is given back, so that its fence only grows.
create table leases(
    root text primary key,
    owner text not null,
    fence integer not null,
    until integer not null
) without rowid;
create index leases_by_owner on leases(owner) where owner <> '';

-- Facts in the order of arrival, so that one commit of many runs touches few pages; a search index follows `id`.
create table facts(
    id integer primary key,
    run text not null,
    seq integer not null,
    kind text not null,
    body blob not null,
    digest blob not null,
    salt blob,
    input blob,
    output blob,
    head blob not null,
    unique(run, seq)
);

-- Large values, once per run tree.
create table blobs(
    root text not null,
    id text not null,
    body blob not null,
    unique(root, id)
);

-- Frozen catalogs by content hash; `put` is when one was last asked to be kept.
create table bundles(
    hash text not null unique,
    body blob not null,
    put integer not null
);

-- Ended runs whose anchor may not be on the disk yet.
create table unanchored(run text primary key) without rowid;
