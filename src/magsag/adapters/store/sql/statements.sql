-- run_to_extend: where a run's chain stands and who drives its tree
select r.seq, r.head, l.owner, l.fence, r.run, r.root
from runs r left join leases l on l.root = r.root
where r.run = ?;

-- runs_to_extend: the same for many; the parameter is a JSON array of their ids
select r.seq, r.head, l.owner, l.fence, r.run, r.root
from json_each(?) j cross join runs r on r.run = j.value left join leases l on l.root = r.root;

-- lease_holder: who drives a tree
select owner, fence from leases where root = ?;

-- insert_run: a run with all that its first write says of it
insert into runs(run, root, parent, program, bundle, tenant, actor, requester, trace_id, span_id,
                 status, parked_on, due, created, updated, seq, head)
values(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- insert_fact: one fact at its place
insert into facts(run, seq, kind, body, digest, salt, input, output, head) values(?, ?, ?, ?, ?, ?, ?, ?, ?);

-- extend_run: the chain is longer, nothing else
update runs set seq = ?, head = ? where run = ?;

-- change_run: the chain is longer and the run's status may be another; who was woken while running parks due
update runs set seq = :seq, head = :head, status = :status, parked_on = :parked_on, updated = :updated,
                due = case when :status = 'parked' and status = 'running' then coalesce(min(due, :due), :due) else :due end
where run = :run;

-- wake: the tree is due by then, now or as soon as it parks
update runs set due = coalesce(min(due, :at), :at) where run = :root and status in ('running', 'parked');

-- insert_blob: large values never change
insert into blobs(root, id, body) values(?, ?, ?) on conflict do nothing;

-- put_record: the last one of a key counts
insert into records(tenant, key, value, run, updated) values(?, ?, ?, ?, ?)
on conflict(tenant, key) do update set value = excluded.value, run = excluded.run, updated = excluded.updated;

-- record: a value that an act put
select value from records where tenant = ? and key = ?;

-- ticket_version: what whoever changes a ticket must know
select version from approvals where id = ?;

-- put_ticket: the next version takes the place of the one before
insert into approvals(id, run, root, step, state, version, opened, expires, salt, body)
values(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
on conflict(id) do update set state = excluded.state, version = excluded.version, expires = excluded.expires,
                              salt = excluded.salt, body = excluded.body;

-- ticket: as it stands
select id, run, root, step, state, version, opened, expires, salt, body from approvals where id = ?;

-- tickets: the oldest first
select id, run, root, step, state, version, opened, expires, salt, body
from approvals
where (:root is null or root = :root)
  and (:prefix is null or substr(id, 1, length(:prefix)) = :prefix)
order by opened, id limit :limit;

-- waiting_tickets: those that people may still decide, of runs that have not ended
select a.id, a.run, a.root, a.step, a.state, a.version, a.opened, a.expires, a.salt, a.body
from approvals a join runs r on r.run = a.root
where a.state = 'open' and r.status in ('running', 'parked')
  and (:root is null or a.root = :root)
  and (:prefix is null or substr(a.id, 1, length(:prefix)) = :prefix)
order by a.opened, a.id limit :limit;

-- standing_approval: as it stands
select id, run, root, step, target, revoked, version, made, until from standing_approvals where id = ?;

-- put_standing_approval: the next version takes the place of the one before
insert into standing_approvals(id, run, root, step, target, revoked, version, made, until)
values(?, ?, ?, ?, ?, ?, ?, ?, ?)
on conflict(id) do update set revoked = excluded.revoked, version = excluded.version, until = excluded.until;

-- standing_approvals: the oldest first
select id, run, root, step, target, revoked, version, made, until
from standing_approvals
where (:target is null or target = :target)
  and (:prefix is null or substr(id, 1, length(:prefix)) = :prefix)
  and (:at is null or (not revoked and until > :at))
order by made, id limit :limit;

-- standing_in_force: those that may be leaned on for a target, the oldest first
select id, run, root, step, target, revoked, version, made, until
from standing_approvals where target = :target and until > :at and not revoked order by made, id;

-- lease_new_tree: the first lease of a tree; the clock is the store's, in milliseconds since 1970
insert into leases(root, owner, fence, until)
values(?, ?, 1, cast((julianday('now') - 2440587.5) * 86400000 as integer) + ?)
on conflict(root) do update set owner = excluded.owner, fence = 1, until = excluded.until;

-- lease_state: owner, fence and milliseconds left
select owner, fence, until - cast((julianday('now') - 2440587.5) * 86400000 as integer)
from leases where root = ?;

-- take_lease: for this owner, with this fence, for so many milliseconds
insert into leases(root, owner, fence, until)
values(?, ?, ?, cast((julianday('now') - 2440587.5) * 86400000 as integer) + ?)
on conflict(root) do update set owner = excluded.owner, fence = excluded.fence, until = excluded.until;

-- renew_leases: all of one owner
update leases set until = cast((julianday('now') - 2440587.5) * 86400000 as integer) + ?
where owner = ? and owner <> '';

-- holds_lease: still in force and not ended
select 1 from leases
where root = ? and owner = ? and fence = ?
  and until > cast((julianday('now') - 2440587.5) * 86400000 as integer);

-- release_lease: the row stays, with its fence
update leases set owner = '', until = 0 where root = ? and owner = ? and fence = ?;

-- facts_after: a run's facts in order; whatever type somebody gave a value, bytes come out
select kind, cast(body as blob), cast(digest as blob), cast(salt as blob), cast(input as blob), cast(output as blob),
       seq, cast(head as blob)
from facts where run = ? and seq > ? order by seq;

-- blob: a large value of a tree
select body from blobs where root = ? and id = ?;

-- seqs: how far these root runs are; the parameter is a JSON array
select r.run, r.seq from json_each(?) j cross join runs r on r.run = j.value;

-- put_bundle: known ones are left alone, but for the time at which they were last wanted
insert into bundles(hash, body, put) values(?, ?, ?)
on conflict(hash) do update set put = excluded.put where put < excluded.put - 60000000;

-- bundle: a frozen catalog
select body from bundles where hash = ?;

-- row: one run
select run, root, parent, program, bundle, tenant, actor, requester, trace_id, span_id,
       status, parked_on, due, created, updated, seq, head
from runs where run = ?;

-- tree: the runs of one tree, oldest first
select run, root, parent, program, bundle, tenant, actor, requester, trace_id, span_id,
       status, parked_on, due, created, updated, seq, head
from runs
where root = :root
  and (:program is null or program = :program or substr(program, 1, length(:program) + 1) = :program || '@')
  and (:status is null or status = :status)
  and (:parked_on is null or parked_on = :parked_on)
  and (:since is null or created >= :since)
order by created, run limit :limit;

-- roots: root runs, newest first
select run, root, parent, program, bundle, tenant, actor, requester, trace_id, span_id,
       status, parked_on, due, created, updated, seq, head
from runs
where run = root
  and (:program is null or program = :program or substr(program, 1, length(:program) + 1) = :program || '@')
  and (:status is null or status = :status)
  and (:parked_on is null or parked_on = :parked_on)
  and created >= coalesce(:since, -9223372036854775808)
order by created desc, run desc limit :limit;

-- all_runs: root and child runs, newest first
select run, root, parent, program, bundle, tenant, actor, requester, trace_id, span_id,
       status, parked_on, due, created, updated, seq, head
from runs
where (:program is null or program = :program or substr(program, 1, length(:program) + 1) = :program || '@')
  and (:status is null or status = :status)
  and (:parked_on is null or parked_on = :parked_on)
  and created >= coalesce(:since, -9223372036854775808)
order by created desc, run desc limit :limit;

-- named: root runs by the beginning of their id
select run from runs where run >= :prefix and run < :prefix || char(1114111) and run = root order by run limit 10;

-- running: root runs that should have a driver, with the owner of a lease that has not ended.
-- The status stands there twice: so the planner sees that the partial index will do.
select r.run, iif(l.until > cast((julianday('now') - 2440587.5) * 86400000 as integer), l.owner, '')
from runs r left join leases l on l.root = r.root
where r.run = r.root and r.status in ('running', 'parked') and r.status = 'running'
order by r.due, r.run;

-- due: root runs whose time has come, with the same
select r.run, iif(l.until > cast((julianday('now') - 2440587.5) * 86400000 as integer), l.owner, '')
from runs r left join leases l on l.root = r.root
where r.run = r.root and r.status in ('running', 'parked') and r.status = 'parked' and r.due <= ?
order by r.due, r.run;

-- unanchored: ended runs that another process may have left without an anchor
select u.run, r.seq, r.head from unanchored u join runs r on r.run = u.run;

-- owe_anchor: until the next write says it is on the disk
insert into unanchored(run) values(?) on conflict do nothing;

-- anchored: it is on the disk
delete from unanchored where run = ?;

-- touch: a change of nothing, so that a commit has something to sync
update migrations set applied = applied where n = 1;

-- describe: for `doctor`
select (select count(*) from runs), (select count(*) from facts), (select count(*) from bundles),
       (select (page_count - freelist_count) * page_size from pragma_page_count, pragma_freelist_count, pragma_page_size),
       (select journal_mode from pragma_journal_mode),
       (select version from migrations order by n desc limit 1);

-- every_run: for `check`
select run, root, parent, program, bundle, tenant, actor, requester, trace_id, span_id,
       status, parked_on, due, created, updated, cast(seq as integer), cast(head as blob)
from runs order by rowid;

-- every_bundle: for `check`, oldest first
select hash, body from bundles order by rowid;

-- facts_to_check: whatever type somebody gave a value, its bytes are looked at
select cast(kind as blob), cast(body as blob), cast(digest as blob), cast(salt as blob), cast(input as blob),
       cast(output as blob), cast(seq as integer), cast(head as blob)
from facts where run = ? order by seq;

-- begin_view: the first read fixes what a transaction sees
select count(*) from migrations;

-- foreign_facts: facts of no run
select run, count(*) from facts where run not in (select run from runs) group by run;

-- foreign_blobs: large values of no run tree; that of '' is the store's own, left by a kill while the log was grown
select root, count(*) from blobs where root <> '' and root not in (select run from runs) group by root;

-- every_blob: for `check`
select root, cast(id as text), cast(body as blob) from blobs;

-- blobs_of: for `audit export`, of one tree
select root, cast(id as text), cast(body as blob) from blobs where root = ?;

-- blob_roots: of which trees there are large values
select distinct root from blobs where root <> '';

-- integrity: for `check`, whether the file itself is whole
pragma integrity_check;

-- vacuumed_elsewhere: nobody else writes this file's anchors
select run from unanchored where false;

-- vacuumed_and_there: nobody else writes this file's anchors
select run from unanchored where false;

-- vouched_for: whether the file of anchors should hold something
select 1 from runs where status not in ('running', 'parked') and run not in (select run from unanchored) limit 1;

-- owed_anchors: ended runs whose line may not be written yet
select run from unanchored;

-- vacuum_begin: where a vacuum notes what goes
create temp table if not exists vacuumed(run text primary key, root text not null);

-- kin: every run, whom it knows, and whether it is open
select r.run, r.root, r.parent,
       case when instr(f.body, '"continues"') and json_valid(cast(f.body as text))
            then json_extract(cast(f.body as text), '$.continues') end,
       r.updated, r.status in ('running', 'parked')
from runs r left join facts f on f.run = r.run and f.seq = 1;

-- mark_vacuumed_tree: its runs go
insert into temp.vacuumed(run, root) select run, root from runs where root = ?;

-- tree_bytes: of the facts of each tree; a row takes about 250 more
select r.root, max(r.updated), sum(length(f.body) + coalesce(length(f.input), 0) + coalesce(length(f.output), 0) + 250)
from runs r join facts f on f.run = r.run group by r.root;

-- blob_bytes: of the large values of each tree
select root, sum(length(body)) from blobs group by root;

-- vacuumed_runs: what goes
select run from temp.vacuumed order by run;

-- count_vacuumed_facts: and how much of it
select count(*) from facts where run in (select run from temp.vacuumed);

-- vacuumed_bundles: wanted by no run that stays, nor by one that is about to start
select hash from bundles
where put < ? and hash not in (select bundle from runs where run not in (select run from temp.vacuumed));

-- vacuum_facts: gone
delete from facts where run in (select run from temp.vacuumed);

-- vacuum_blobs: gone
delete from blobs where root = '' or root in (select root from temp.vacuumed);

-- vacuum_leases: gone
delete from leases where root in (select root from temp.vacuumed);

-- vacuum_approvals: gone
delete from approvals where root in (select root from temp.vacuumed);

-- vacuum_standing_approvals: gone
delete from standing_approvals where root in (select root from temp.vacuumed);

-- vacuum_budgets: those of one run go with it; what all share stays
delete from budgets where run in (select run from temp.vacuumed);

-- vacuum_days: budgets of days before this one of which nothing is held back
delete from budgets
where run is null and scope in ('day', 'agent') and reserved = 0 and substr(id, length(id) - length(unit) - 10, 10) < ?;

-- vacuum_reservations: gone
delete from reservations where run in (select run from temp.vacuumed);

-- vacuum_unanchored: gone
delete from unanchored where run in (select run from temp.vacuumed);

-- vacuum_imports: what notes that they came from another ledger; one that takes the name did not
delete from records where tenant = 'imported' and key in (select run from temp.vacuumed);

-- vacuum_runs: gone
delete from runs where run in (select run from temp.vacuumed);

-- vacuum_bundle: gone
delete from bundles where hash = ?;

-- vacuum_end: the notes too
delete from temp.vacuumed;

-- erase_payloads: body, digest and head stay, so the chain verifies
update facts set salt = null, input = null, output = null where run = ? and seq = ?;

-- erase_blobs: of one tree
delete from blobs where root = ?;

-- erase_tickets: what their bindings were made of can be guessed no more
update approvals set salt = null where root = ?;

-- touch_run: a tree that was changed after its end is kept as long as one that has just ended
update runs set updated = max(updated, ?) where run = ?;

-- drop_search_index: the next search makes it again, without what was erased
drop table if exists search_index;

-- overwrite_removed: zeros instead of what was there, in this connection
pragma secure_delete = on;

-- has_search_index: made by the first search
select 1 from sqlite_master where name = 'search_index';

-- make_search_index: rows have the ids of their facts
create virtual table search_index using fts5(text, tokenize = 'unicode61 remove_diacritics 2');

-- indexed_to: facts with larger ids are not in the index
select coalesce((select rowid from search_index order by rowid desc limit 1), 0);

-- newest_fact: how far the index should reach
select coalesce(max(id), 0) from facts;

-- facts_to_index: what came since
select id, kind, body, digest, salt, input, output from facts where id > ? order by id;

-- index_fact: its words
insert into search_index(rowid, text) values(?, ?);

-- find: the best first
select f.run, f.seq, f.kind, snippet(search_index, 0, '', '', '...', 16)
from search_index join facts f on f.id = search_index.rowid
where search_index match ? order by rank, f.id desc limit ?;

-- unindex_facts: vacuumed words may not be found
delete from search_index where rowid in (select id from facts where run in (select run from temp.vacuumed));

-- grow_log: the more a log holds at once, the less often its file must grow
insert into blobs(root, id, body) values('', 'log', zeroblob(?)) on conflict do nothing;

-- forget_growth: the log stays grown
delete from blobs where root = '';

-- data_version: another number after each commit of another connection, and in each new connection
pragma data_version;

-- standing: why the ledger is closed
select course, elsewhere, since from standing;

-- stand: closed from now on
insert into standing(course, elsewhere, since) values(?, ?, ?);

-- stand_open: in use
delete from standing;

-- live_leases: which have not ended
select root, owner from leases
where owner <> '' and until > cast((julianday('now') - 2440587.5) * 86400000 as integer) order by root;

-- holds_something: whether anything was ever put into it
select 1 where exists(select 1 from runs) or exists(select 1 from bundles) or exists(select 1 from records)
   or exists(select 1 from caps);

-- take_bundle: of another ledger; wanted from now on
insert into bundles(hash, body, put)
values(?, ?, cast((julianday('now') - 2440587.5) * 86400000000 as integer));

-- pieces_bundles: by the bytes of the hash
select hash, cast(body as blob) from bundles order by hash;

-- pieces_runs: by the bytes of the id
select run, root, parent, program, bundle, tenant, actor, requester, trace_id, span_id,
       status, parked_on, due, created, updated, seq, head
from runs order by run;

-- pieces_blobs: without that of the store itself
select root, id, cast(body as blob) from blobs where root <> '' order by root, id;

-- pieces_records: by tenant and key
select tenant, key, cast(value as blob), run, updated from records order by tenant, key;

-- pieces_tickets: by id
select id, run, root, step, state, version, opened, expires, salt, body from approvals order by id;

-- pieces_standing_approvals: by id
select id, run, root, step, target, revoked, version, made, until from standing_approvals order by id;

-- empty_standing_approvals: what an earlier attempt put in
delete from standing_approvals;

-- empty_approvals: what an earlier attempt put in
delete from approvals;

-- empty_budgets: the same
delete from budgets;

-- empty_reservations: the same
delete from reservations;

-- empty_caps: the same
delete from caps;

-- empty_facts: what an earlier attempt put in
delete from facts;

-- empty_blobs: the same
delete from blobs;

-- empty_records: the same
delete from records;

-- empty_bundles: the same
delete from bundles;

-- empty_runs: the same
delete from runs;

-- empty_unanchored: all is anchored
delete from unanchored;

-- head_at: the chain of a run at a fact
select head from facts where run = ? and seq = ?;

-- throttle: as it stands
select name, version, body from throttles where name = ?;

-- put_throttle: a row comes back when it followed the version that stood
insert into throttles(name, version, body) values(?, ?, ?)
on conflict(name) do update set version = excluded.version, body = excluded.body
where throttles.version = excluded.version - 1 returning version;

-- throttles: all
select name, version, body from throttles order by name;

-- ended_runs: the newest ended runs of a program, with what they show as far as that is noted
select r.run, r.root, m.shown, m.ended, m.took, m.nano_usd, m.waits
from runs r left join measures m on m.run = r.run
where substr(r.program, 1, instr(r.program, '@') - 1) = :program and r.status not in ('running', 'parked')
  and r.updated >= :since
order by r.updated desc, r.run desc limit :limit;

-- touched_since: ended runs whose last fact is not their end; the parameter is a JSON array
select r.run from json_each(?) j cross join runs r on r.run = j.value join facts f on f.run = r.run and f.seq = r.seq
where f.kind <> 'RunEnded';

-- keep_measure: what is known of a run stays; of one that was vacuumed meanwhile nothing is noted
insert into measures(run, shown, ended, took, nano_usd, waits)
select :run, :shown, :ended, :took, :nano_usd, :waits
where exists (select 1 from runs where run = :run) on conflict do nothing;

-- budgets_named: as they stand; the parameter is a JSON array of their ids
select b.id, b.scope, b.unit, b.run, b.cap, b.reserved, b.spent
from json_each(?) j cross join budgets b on b.id = j.value;

-- cap_in_force: of a scope and unit
select cap from caps where scope = ? and unit = ? order by n desc limit 1;

-- held_back: by a step that has begun, from each budget
select budget, amount from reservations where run = ? and step = ?;

-- put_budget: as it stands now
insert into budgets(id, scope, unit, run, cap, reserved, spent) values(?, ?, ?, ?, ?, ?, ?)
on conflict(id) do update set cap = excluded.cap, reserved = excluded.reserved, spent = excluded.spent;

-- put_reservation: held back from now on
insert into reservations(run, step, budget, amount) values(?, ?, ?, ?)
on conflict(run, step, budget) do update set amount = excluded.amount;

-- drop_reservation: settled
delete from reservations where run = ? and step = ? and budget = ?;

-- budgets: those that were ever used, that runs share or that are of these runs; the parameter is a JSON array
select id, scope, unit, run, cap, reserved, spent from budgets
where (reserved > 0 or spent > 0) and (run is null or run in (select value from json_each(?))) order by id;

-- all_budgets: by id
select id, scope, unit, run, cap, reserved, spent from budgets order by id;

-- reservations: what begun steps hold back
select run, step, budget, amount from reservations order by run, step, budget;

-- caps: every limit that was ever set
select n, scope, unit, cap, at, by, proof, people, reason from caps order by n;

-- newest_caps: of each scope and unit
select n, scope, unit, cap, at, by, proof, people, reason from caps
where n in (select max(n) from caps group by scope, unit) order by n;

-- last_cap: the number of the newest
select coalesce(max(n), 0) from caps;

-- put_cap: the next one
insert into caps(n, scope, unit, cap, at, by, proof, people, reason) values(?, ?, ?, ?, ?, ?, ?, ?, ?);
