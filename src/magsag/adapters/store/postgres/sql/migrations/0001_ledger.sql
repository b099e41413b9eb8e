-- Which ledger this is, so that a file of anchors belongs to one only.
create table ledger(id text not null);
insert into ledger values (replace(gen_random_uuid()::text, '-', ''));

-- Runs. Room in each page, so that a row that moves stays in its page and no index is touched.
create table runs(
    run text collate "C" primary key,
    root text collate "C" not null,
    parent text collate "C",
    program text collate "C" not null,
    bundle text collate "C" not null,
    tenant text not null,
    actor text not null,
    requester text not null,
    trace_id text not null,
    span_id text not null,
    status text not null,
    parked_on text,
    due bigint,
    created bigint not null,
    updated bigint not null,
    seq bigint not null,
    head bytea not null
) with (fillfactor = 70);
create index runs_by_root on runs(root);
create index runs_by_creation on runs(created, run) where run = root;
create index runs_by_due on runs(status, due, run) where run = root and status in ('running', 'parked');

-- Who drives a run tree. A row stays when a lease is given back, so that its fence only grows.
create table leases(
    root text collate "C" primary key,
    owner text not null,
    fence bigint not null,
    until bigint not null
) with (fillfactor = 70);
create index leases_by_owner on leases(owner) where owner <> '';

create table facts(
    run text collate "C" not null,
    seq bigint not null,
    kind text not null,
    body bytea not null,
    digest bytea not null,
    salt bytea,
    input bytea,
    output bytea,
    head bytea not null,
    primary key(run, seq)
);

-- Large values, once per run tree.
create table blobs(
    root text collate "C" not null,
    id text collate "C" not null,
    body bytea not null,
    primary key(root, id)
);

-- Frozen catalogs by content hash; `put` is when one was last asked to be kept.
create table bundles(
    hash text collate "C" primary key,
    body bytea not null,
    put bigint not null
);

-- Values that transactional acts put, by a tenant's key; `run` is the one that put it last.
create table records(
    tenant text collate "C" not null,
    key text collate "C" not null,
    value bytea not null,
    run text not null,
    updated bigint not null,
    primary key(tenant, key)
);

-- Tickets that asks opened, as they stand: who changes one must know its version. `salt` goes with what it is bound to.
create table approvals(
    id text collate "C" primary key,
    run text not null,
    root text collate "C" not null,
    step text not null,
    state text not null,
    version bigint not null,
    opened bigint not null,
    expires bigint not null,
    salt bytea,
    body bytea not null
);
create index approvals_by_root on approvals(root);
create index approvals_that_wait on approvals(opened, id) where state = 'open';

-- Why the ledger is closed, while it is: at most one row (`domain.standing`). Triggers made with it refuse the writes.
create table standing(
    course text not null,
    elsewhere text not null,
    since bigint not null
);

-- Which file of anchors holds lines of which run. `owed`: the line may not be written yet. `vacuumed`: the run is gone,
-- and the file has yet to say that it may be.
create table anchored(
    run text collate "C" not null,
    anchors text not null,
    owed boolean not null,
    vacuumed boolean not null default false,
    primary key(run, anchors)
);
create index anchored_debts on anchored(anchors) where owed or vacuumed;

-- The words of facts, and how far each run is indexed.
create table search_index(
    run text collate "C" not null,
    seq bigint not null,
    words text[] not null,
    primary key(run, seq)
);
create index search_words on search_index using gin(words);
create table searched(run text collate "C" primary key, seq bigint not null);
