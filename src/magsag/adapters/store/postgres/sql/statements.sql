-- append: one fact of a driven run, what happens most often; whether the lease holds, and where the run stands then
with held as materialized (
    select from leases where root = $3 and owner = $4 and fence = $5 for update
), moved as (
    update runs r set seq = r.seq + 1, head = sha256(r.head || $8)
    where r.run = $2 and exists(select from held) returning r.seq, r.head
), put as (
    insert into facts(run, seq, kind, body, digest, salt, input, output, head)
    select $2, m.seq, $6, $7, $8, $9, $10, $11, m.head from moved m
)
select case when exists(select from held) then case when m.seq is null then 'unknown' end else 'lease' end,
       m.seq, m.head, case when $1 then '' else set_config('synchronous_commit', 'off', true) end
from (values(1)) as one left join moved m on true;

-- append_many: several facts of one run
select * from append_facts_{v}($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11);

-- commit: any writes
select * from commit_writes_{v}($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20,
                            $21, $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $35, $36, $37, $38,
                            $39, $40, $41, $42, $43, $44, $45, $46, $47, $48, $49, $50, $51, $52, $53, $54, $55, $56,
                            $57);

-- acquire_lease: holder (empty: it is ours now), fence, milliseconds left, whether the one before may live
select holder, fence, remaining, wrested from acquire_lease_{v}(%s::text, %s::text, %s::bigint);

-- renew_leases: all of one owner, locked in the order of every writer
update leases set until = clock_ms_{v}() + %s
where root in (select root from leases where owner = %s and owner <> '' order by root for update);

-- holds_lease: still in force and not ended
select 1 from leases where root = %s and owner = %s and fence = %s and until > clock_ms_{v}();

-- release_lease: the row stays, with its fence
update leases set owner = '', until = 0 where root = %s and owner = %s and fence = %s;

-- give_back_all: nothing that an owner believed while it was connected may be built upon
update leases set owner = '', until = 0
where root in (select root from leases where owner = %s and owner <> '' order by root for update);

-- take_owner_lock: others see that this owner lives as long as this connection does
select pg_try_advisory_lock(lock_of_{v}(%s));

-- end_owner: the connection that holds an owner's lock; only its own earlier one ever does
select pg_terminate_backend(pid) from pg_locks
where locktype = 'advisory' and granted and objsubid = 1
  and database = (select oid from pg_database where datname = current_database())
  and ((classid::bigint << 32) | objid::bigint) = lock_of_{v}(%s);

-- due: root runs that want a leg and that nobody alive drives
select r.run from runs r left join leases l on l.root = r.root
where r.run = r.root and r.status in ('running', 'parked') and (r.status = 'running' or r.due <= %s)
  and (l.owner is null or l.owner = '' or l.until <= clock_ms_{v}() or is_dead_{v}(l.owner))
order by r.status <> 'running', coalesce(r.due, 0), r.run limit %s;

-- facts_after: a run's facts in order
select kind, body, digest, salt, input, output, seq, head from facts where run = %s and seq > %s order by seq;

-- blob: a large value of a tree
select body from blobs where root = %s and id = %s;

-- record: a value that an act put
select value from records where tenant = %s and key = %s;

-- ticket: as it stands
select id, run, root, step, state, version, opened, expires, salt, body from approvals where id = %s;

-- tickets: the oldest first
select id, run, root, step, state, version, opened, expires, salt, body
from approvals
where (%(root)s::text is null or root = %(root)s) and (%(prefix)s::text is null or starts_with(id, %(prefix)s))
order by opened, id limit nullif(%(limit)s, -1);

-- waiting_tickets: those that people may still decide, of runs that have not ended
select a.id, a.run, a.root, a.step, a.state, a.version, a.opened, a.expires, a.salt, a.body
from approvals a join runs r on r.run = a.root
where a.state = 'open' and r.status in ('running', 'parked')
  and (%(root)s::text is null or a.root = %(root)s) and (%(prefix)s::text is null or starts_with(a.id, %(prefix)s))
order by a.opened, a.id limit nullif(%(limit)s, -1);

-- standing_approvals: the oldest first
select id, run, root, step, target, revoked, version, made, until
from standing_approvals
where (%(target)s::text is null or target = %(target)s) and (%(prefix)s::text is null or starts_with(id, %(prefix)s))
  and (%(at)s::bigint is null or (not revoked and until > %(at)s))
order by made, id limit nullif(%(limit)s, -1);

-- standing_in_force: those that may be leaned on for a target, the oldest first
select id, run, root, step, target, revoked, version, made, until
from standing_approvals where target = %(target)s and until > %(at)s and not revoked order by made, id;

-- seqs: how far these root runs are; the parameter is a JSON array
select run, seq from runs where run in (select jsonb_array_elements_text(convert_from(%s, 'UTF8')::jsonb));

-- put_bundle: known ones are left alone, but for the time at which they were last wanted
insert into bundles(hash, body, put) values(%s, %s, %s)
on conflict(hash) do update set put = excluded.put where bundles.put < excluded.put - 60000000;

-- bundle: a frozen catalog
select body from bundles where hash = %s;

-- row: one run
select run, root, parent, program, bundle, tenant, actor, requester, trace_id, span_id,
       status, parked_on, due, created, updated, seq, head
from runs where run = %s;

-- tree: the runs of one tree, oldest first
select run, root, parent, program, bundle, tenant, actor, requester, trace_id, span_id,
       status, parked_on, due, created, updated, seq, head
from runs
where root = %(root)s
  and (%(program)s::text is null or program = %(program)s or starts_with(program, %(program)s || '@'))
  and (%(status)s::text is null or status = %(status)s)
  and (%(parked_on)s::text is null or parked_on = %(parked_on)s)
  and (%(since)s::bigint is null or created >= %(since)s)
order by created, run limit nullif(%(limit)s, -1);

-- roots: root runs, newest first
select run, root, parent, program, bundle, tenant, actor, requester, trace_id, span_id,
       status, parked_on, due, created, updated, seq, head
from runs
where run = root
  and (%(program)s::text is null or program = %(program)s or starts_with(program, %(program)s || '@'))
  and (%(status)s::text is null or status = %(status)s)
  and (%(parked_on)s::text is null or parked_on = %(parked_on)s)
  and (%(since)s::bigint is null or created >= %(since)s)
order by created desc, run desc limit nullif(%(limit)s, -1);

-- all_runs: root and child runs, newest first
select run, root, parent, program, bundle, tenant, actor, requester, trace_id, span_id,
       status, parked_on, due, created, updated, seq, head
from runs
where (%(program)s::text is null or program = %(program)s or starts_with(program, %(program)s || '@'))
  and (%(status)s::text is null or status = %(status)s)
  and (%(parked_on)s::text is null or parked_on = %(parked_on)s)
  and (%(since)s::bigint is null or created >= %(since)s)
order by created desc, run desc limit nullif(%(limit)s, -1);

-- named: root runs by the beginning of their id
select run from runs where run >= %(prefix)s and starts_with(run, %(prefix)s) and run = root order by run limit 10;

-- ledger_id: which ledger this is
select id from ledger;

-- anchor_debts: ended runs whose line this file may lack, and where they stand
select r.run, r.seq, r.head from anchored a join runs r on r.run = a.run where a.anchors = %s and a.owed;

-- vacuum_debts: runs that somebody else removed, which this file may still vouch for; of one that is there, the file says
-- nothing because a row of this table does
select run from anchored a where anchors = %s and vacuumed and not exists (select from runs r where r.run = a.run)
order by run;

-- told_of_vacuum: now the file says so too
delete from anchored where anchors = %s and vacuumed and run = any(%s);

-- describe: for `doctor`
select (select count(*) from runs), (select count(*) from facts), (select count(*) from bundles),
       (select coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint from pg_class c
        join pg_namespace n on n.oid = c.relnamespace where n.nspname = current_schema() and c.relkind = 'r'),
       current_setting('server_version'), (select version from migrations order by n desc limit 1);

-- every_run: for `check`
select run, root, parent, program, bundle, tenant, actor, requester, trace_id, span_id,
       status, parked_on, due, created, updated, seq, head
from runs order by created, run;

-- every_bundle: for `check`, oldest first
select hash, body from bundles order by put, hash;

-- facts_to_check: a run's facts
select convert_to(kind, 'UTF8'), body, digest, salt, input, output, seq, head from facts where run = %s order by seq;

-- begin_view: the first read fixes what a transaction sees
select count(*) from migrations;

-- foreign_facts: facts of no run
select run, count(*) from facts where run not in (select run from runs) group by run;

-- foreign_blobs: large values of no run tree
select root, count(*) from blobs where root not in (select run from runs) group by root;

-- every_blob: for `check`
select root, id, body from blobs;

-- blobs_of: for `audit export`, of one tree
select root, id, body from blobs where root = %s;

-- blob_roots: of which trees there are large values
select distinct root from blobs where root <> '';

-- integrity: the server looks after its own pages
select 'ok';

-- vacuumed_and_there: runs of a name that another machine removed a run of, before this file could say so
select run from anchored a where anchors = %s and vacuumed and exists (select from runs r where r.run = a.run);

-- vouched_for: whether this file of anchors should hold something
select 1 from anchored a join runs r on r.run = a.run where a.anchors = %s and a.ended and not a.owed limit 1;

-- owed_anchors: ended runs whose line this file need not hold: it is not written yet, or another file has it
select run from anchored a group by run
having not coalesce(bool_or(ended and not owed) filter (where anchors = %s), false);

-- vacuumed_elsewhere: runs that another machine removed; this file has yet to say so
select run from anchored a where anchors = %s and vacuumed and not exists (select from runs r where r.run = a.run);

-- kin: every run, whom it knows, and whether it is open
select r.run, r.root, r.parent,
       case when position('"continues"'::bytea in f.body) > 0
            then convert_from(f.body, 'UTF8')::jsonb ->> 'continues' end,
       r.updated, r.status in ('running', 'parked')
from runs r left join facts f on f.run = r.run and f.seq = 1;

-- runs_to_vacuum: of these trees, the newest first
select r.run, r.root, r.seq from runs r join runs t on t.run = r.root
where r.root = any(%s) order by t.created desc, r.root, r.run;

-- tree_bytes: of the facts of each tree; a row takes about 250 more
select r.root, max(r.updated),
       sum(length(f.body) + coalesce(length(f.input), 0) + coalesce(length(f.output), 0) + 250)::bigint
from runs r join facts f on f.run = r.run group by r.root;

-- blob_bytes: of the large values of each tree
select root, sum(length(body))::bigint from blobs group by root;

-- bundles_to_vacuum: wanted by no run that stays, nor by one that is about to start
select hash from bundles
where put < %s and hash not in (select bundle from runs where run <> all(%s)) order by hash;

-- vacuum_days: budgets of days before this one of which nothing is held back
delete from budgets
where run is null and scope in ('day', 'agent') and reserved = 0 and substr(id, length(id) - length(unit) - 10, 10) < %s;

-- vacuum: all that was listed, and is still as it was listed
select runs, facts, bundles from vacuum_listed_{v}(%s::text[], %s::text[], %s::bigint, %s::text);

-- unsearched_facts: what is not in the index yet, oldest runs first
select f.run, f.seq, f.kind, f.body, f.digest, f.salt, f.input, f.output
from runs r left join searched s on s.run = r.run
join facts f on f.run = r.run and f.seq > coalesce(s.seq, 0)
where r.seq > coalesce(s.seq, 0)
order by r.created, f.run, f.seq limit %s;

-- index_facts: their words; of two searches at once both may come with the same
with given as (
    select * from jsonb_to_recordset(convert_from(%s, 'UTF8')::jsonb) as g(run text, seq bigint, words jsonb)
), put as (
    insert into search_index
    select run, seq, array(select jsonb_array_elements_text(words)) from given order by run, seq
    on conflict do nothing
)
insert into searched as s select run, max(seq) from given group by run order by run
on conflict(run) do update set seq = greatest(s.seq, excluded.seq);

-- find: the newest first
select f.run, f.seq, f.kind, f.body, f.digest, f.salt, f.input, f.output
from search_index i join facts f on f.run = i.run and f.seq = i.seq join runs r on r.run = i.run
where i.words @> %s::text[]
order by r.created desc, f.run desc, f.seq desc limit %s;

-- erase_payloads: body, digest and head stay, so the chain verifies
update facts set salt = null, input = null, output = null where run = %s and seq = %s;

-- erase_words: no search finds them
delete from search_index where run = %s and seq = %s;

-- erase_blobs: of one tree
delete from blobs where root = %s;

-- erase_tickets: what their bindings were made of can be guessed no more
update approvals set salt = null where root = %s;

-- touch_run: a tree that was changed after its end is kept as long as one that has just ended
update runs set updated = greatest(updated, %s) where run = %s;

-- head_at: the chain of a run at a fact
select head from facts where run = %s and seq = %s;

-- standing: why the ledger is closed
select course, elsewhere, since from standing;

-- stand: closed from now on
insert into standing(course, elsewhere, since) values(%s, %s, %s);

-- stand_open: in use
delete from standing;

-- live_leases: which have not ended, of owners that are not gone
select root, owner from leases
where owner <> '' and until > clock_ms_{v}() and not is_dead_{v}(owner) order by root;

-- holds_something: whether anything was ever put into it
select 1 where exists(select 1 from runs) or exists(select 1 from bundles) or exists(select 1 from records)
   or exists(select 1 from caps);

-- empty_all: what an earlier attempt put in
truncate facts, blobs, records, approvals, standing_approvals, budgets, reservations, caps, bundles, anchored, search_index,
         searched, measures, runs;

-- take_bundle: of another ledger; wanted from now on
insert into bundles(hash, body, put) values(%s, %s, clock_ms_{v}() * 1000);

-- take_run: as it stands
insert into runs(run, root, parent, program, bundle, tenant, actor, requester, trace_id, span_id,
                 status, parked_on, due, created, updated, seq, head)
values(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s);

-- take_fact: at its place
insert into facts(run, seq, kind, body, digest, salt, input, output, head)
values(%s, %s, %s, %s, %s, %s, %s, %s, %s);

-- take_anchored: this file vouches for it from now on
insert into anchored(run, anchors, owed, ended) values(%s, %s, %s, %s);

-- take_blob: of a tree
insert into blobs(root, id, body) values(%s, %s, %s);

-- take_record: with the run that put it
insert into records(tenant, key, value, run, updated) values(%s, %s, %s, %s, %s);

-- take_ticket: as it stands
insert into approvals(id, run, root, step, state, version, opened, expires, salt, body)
values(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s);

-- take_standing_approval: as it stands
insert into standing_approvals(id, run, root, step, target, revoked, version, made, until)
values(%s, %s, %s, %s, %s, %s, %s, %s, %s);

-- settle_all: all is anchored
update anchored set owed = false where anchors = %s and owed;

-- pieces_bundles: by the bytes of the hash
select hash, body from bundles order by hash;

-- pieces_runs: by the bytes of the id
select run, root, parent, program, bundle, tenant, actor, requester, trace_id, span_id,
       status, parked_on, due, created, updated, seq, head
from runs order by run;

-- pieces_blobs: by tree and id
select root, id, body from blobs order by root, id;

-- pieces_records: by tenant and key
select tenant, key, value, run, updated from records order by tenant, key;

-- pieces_tickets: by id
select id, run, root, step, state, version, opened, expires, salt, body from approvals order by id;

-- throttle: as it stands, with the time in microseconds
select (extract(epoch from clock_timestamp()) * 1000000)::bigint, t.name, t.version, t.body
from (select %s::text as asked) as q left join throttles t on t.name = q.asked;

-- put_throttle: a row comes back when it followed the version that stood; its commit is not synced
insert into throttles(name, version, body)
select p.name, p.version, p.body
from (select %s::text as name, %s::bigint as version, %s::bytea as body) as p,
     (select set_config('synchronous_commit', 'off', true)) as unsynced
on conflict(name) do update set version = excluded.version, body = excluded.body
where throttles.version = excluded.version - 1 returning version;

-- throttles: all
select name, version, body from throttles order by name;

-- pieces_standing_approvals: by id
select id, run, root, step, target, revoked, version, made, until from standing_approvals order by id;

-- ended_runs: the newest ended runs of a program, with what they show as far as that is noted
select r.run, r.root, m.shown, m.ended, m.took, m.nano_usd, m.waits
from runs r left join measures m on m.run = r.run
where split_part(r.program, '@', 1) = %(program)s and r.status not in ('running', 'parked') and r.updated >= %(since)s
order by r.updated desc, r.run desc limit %(limit)s;

-- touched_since: ended runs whose last fact is not their end; the parameter is a JSON array
select r.run from runs r join facts f on f.run = r.run and f.seq = r.seq
where r.run in (select jsonb_array_elements_text(convert_from(%s, 'UTF8')::jsonb)) and f.kind <> 'RunEnded';

-- keep_measures: what is known of a run stays; of one that was vacuumed meanwhile nothing is noted
insert into measures
select g.run, g.shown, g.ended, g.took, g.nano_usd, g.waits
from jsonb_to_recordset(convert_from(%s, 'UTF8')::jsonb)
     as g(run text, shown text, ended bigint, took bigint, nano_usd bigint, waits text)
join runs r on r.run = g.run
order by g.run for key share of r
on conflict do nothing;

-- budgets: those that were ever used, that runs share or that are of these runs; the parameter is a JSON array
select id, scope, unit, run, cap, reserved, spent from budgets
where (reserved > 0 or spent > 0)
  and (run is null or run in (select jsonb_array_elements_text(convert_from(%s, 'UTF8')::jsonb))) order by id;

-- all_budgets: by id
select id, scope, unit, run, cap, reserved, spent from budgets order by id;

-- reservations: what begun steps hold back
select run, step, budget, amount from reservations order by run, step, budget;

-- caps: every limit that was ever set
select n, scope, unit, cap, at, by, proof, people, reason from caps order by n;

-- newest_caps: of each scope and unit
select n, scope, unit, cap, at, by, proof, people, reason from caps
where n in (select max(n) from caps group by scope, unit) order by n;

-- put_cap: the next one, unless another was set meanwhile
insert into caps(n, scope, unit, cap, at, by, proof, people, reason)
select %s::bigint, %s, %s, %s::bigint, %s::bigint, %s, %s, %s, %s
where (select coalesce(max(n), 0) from caps) = %s::bigint - 1
on conflict do nothing returning n;

-- take_budget: of another ledger
insert into budgets(id, scope, unit, run, cap, reserved, spent) values(%s, %s, %s, %s, %s, %s, %s);

-- take_reservation: of another ledger
insert into reservations(run, step, budget, amount) values(%s, %s, %s, %s);

-- take_cap: of another ledger
insert into caps(n, scope, unit, cap, at, by, proof, people, reason) values(%s, %s, %s, %s, %s, %s, %s, %s, %s);
