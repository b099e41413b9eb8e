-- What the store does inside the server. The names end in the hash of this file, so that processes of two versions work on
-- one ledger, each with its own; a changed function needs no migration. No transaction waits for a client: each call is one.

-- Milliseconds since 1970 by the clock of the server.
create function clock_ms_{v}() returns bigint language sql volatile as
    $$ select (extract(epoch from clock_timestamp()) * 1000)::bigint $$;

-- The advisory lock that a living owner holds: a number made of its name.
create function lock_of_{v}(owner text) returns bigint language sql immutable strict as
    $$ select ('x' || substr(encode(sha256(convert_to(owner, 'UTF8')), 'hex'), 1, 16))::bit(64)::bigint $$;

-- Whether an owner that names this kind of lock holds it no longer; of others nobody can tell.
create function is_dead_{v}(owner text) returns boolean language sql volatile strict as $$
    select owner like 'postgres:%' and not exists (
        select from pg_locks
        where locktype = 'advisory' and granted and objsubid = 1
          and database = (select oid from pg_database where datname = current_database())
          and ((classid::bigint << 32) | objid::bigint) = lock_of_{v}(owner)
    )
$$;

-- Take a free, ended or dead owner's lease. `holder` is empty when it is ours now, with `fence`; `wrested` when whoever
-- had it before may still live.
create function acquire_lease_{v}(
    the_root text, the_owner text, ms bigint, out holder text, out fence bigint, out remaining bigint, out wrested boolean
) language plpgsql as $$
declare
    held leases;
begin
    perform set_config('synchronous_commit', 'off', true);
    insert into leases values (the_root, '', 0, 0) on conflict do nothing;
    select * into strict held from leases where root = the_root for update;
    remaining := held.until - clock_ms_{v}();
    wrested := held.owner not in ('', the_owner) and not is_dead_{v}(held.owner);
    if wrested and remaining > 0 then
        holder := held.owner;
        fence := held.fence;
        return;
    end if;
    holder := '';
    fence := case when held.owner = the_owner then held.fence else held.fence + 1 end;
    update leases set owner = the_owner, fence = acquire_lease_{v}.fence, until = clock_ms_{v}() + ms where root = the_root;
end $$;

-- Facts of one run, nothing beside them.
create function append_facts_{v}(
    synced boolean, the_run text, the_root text, the_owner text, the_fence bigint,
    kinds text[], bodies bytea[], digests bytea[], salts bytea[], inputs bytea[], outputs bytea[],
    out why text, out seq bigint, out head bytea
) language plpgsql as $$
begin
    if not synced then
        perform set_config('synchronous_commit', 'off', true);
    end if;
    if the_owner is null then
        perform pg_notify('magsag_' || current_schema(), '');
    else
        perform from leases l where l.root = the_root and l.owner = the_owner and l.fence = the_fence for update;
        if not found then
            why := 'lease';
        end if;
    end if;
    if why is null then
        select r.seq, r.head into append_facts_{v}.seq, append_facts_{v}.head from runs r where r.run = the_run for update;
        if found then
            for i in 1 .. cardinality(kinds) loop
                seq := seq + 1;
                head := sha256(head || digests[i]);
                insert into facts
                values (the_run, append_facts_{v}.seq, kinds[i], bodies[i], digests[i], salts[i], inputs[i], outputs[i],
                        append_facts_{v}.head);
            end loop;
            update runs r set seq = append_facts_{v}.seq, head = append_facts_{v}.head where r.run = the_run;
        else
            why := 'unknown';
        end if;
    end if;
    if why is not null and synced then
        update migrations set applied = applied where n = 1;
    end if;
end $$;

-- Whether what a write makes or revokes of standing approvals follows what stands, and what it leans on is in force.
create function may_stand_{v}(i int, leans jsonb, standing_rows jsonb) returns boolean language sql volatile as $$
    select (standing_rows is null or not exists (
        select from jsonb_to_recordset(standing_rows) as n(write int, id text, version bigint)
        where n.write = i
          and n.version <> 1 + coalesce((select s.version from standing_approvals s where s.id = n.id), 0)
    )) and (leans is null or not exists (
        select from jsonb_to_recordset(leans) as n(write int, id text, version bigint, at bigint)
        where n.write = i and not exists (
            select from standing_approvals s
            where s.id = n.id and s.version = n.version and not s.revoked and s.until > n.at
        )
    ))
$$;

-- Any writes, in one statement: locks in one order, decides write by write, then puts all rows at once.
-- `runs_` and `roots_` are sorted and without repetition; w_run, w_root, w_above, f_write, b_write and r_write
-- count from 1.
create function commit_writes_{v}(
    synced boolean, my_anchors text, settled text[], runs_ text[], roots_ text[],
    w_run int[], w_root int[], w_owner text[], w_fence bigint[], w_facts int[], w_new boolean[], w_lessee text[],
    w_status text[], w_parked_on text[], w_due bigint[], w_updated bigint[], w_release boolean[],
    f_write int[], f_kind text[], f_body bytea[], f_digest bytea[], f_salt bytea[], f_input bytea[], f_output bytea[],
    new_runs jsonb,
    b_write int[], b_id text[], b_body bytea[],
    r_write int[], r_tenant text[], r_key text[], r_value bytea[], r_at bigint[],
    w_wake bigint[], tickets_ text[], t_write int[], t_ticket int[], t_version bigint[], t_rows jsonb, t_salt bytea[],
    t_body bytea[], w_above int[], above_owner text[], above_fence bigint[],
    standing_ text[], leans jsonb, standing_rows jsonb,
    budgets_ text[], q_scope text[], q_unit text[], q_run text[],
    m_write int[], m_budget int[], m_step text[], m_takes boolean[], m_amount bigint[], m_cap bigint[]
) returns table(why text, seq bigint, head bytea, short text) language plpgsql as $$
#variable_conflict use_variable
declare
    row record;
    i int; r int; l int; f int; next_fact int := 1;
    owners text[] := array_fill(null::text, array[cardinality(roots_)]);
    fences bigint[] := array_fill(null::bigint, array[cardinality(roots_)]);
    seqs bigint[] := array_fill(null::bigint, array[cardinality(runs_)]);
    heads bytea[] := array_fill(null::bytea, array[cardinality(runs_)]);
    created boolean[] := array_fill(false, array[cardinality(runs_)]);
    changed int[] := array_fill(null::int, array[cardinality(runs_)]);
    touched boolean[] := array_fill(false, array[cardinality(runs_)]);
    a_why text[] := array_fill(null::text, array[cardinality(w_run)]);
    a_seq bigint[] := array_fill(null::bigint, array[cardinality(w_run)]);
    a_head bytea[] := array_fill(null::bytea, array[cardinality(w_run)]);
    f_seq bigint[] := array_fill(null::bigint, array[cardinality(f_write)]);
    f_head bytea[] := array_fill(null::bytea, array[cardinality(f_write)]);
    this_seq bigint; this_head bytea;
    t int; next_ticket int := 1; follows boolean;
    versions bigint[] := array_fill(0::bigint, array[cardinality(tickets_)]);
    known boolean[] := array_fill(false, array[cardinality(tickets_)]);
    last_ticket int[] := array_fill(null::int, array[cardinality(tickets_)]);
    a_short text[] := array_fill(null::text, array[cardinality(w_run)]);
    m int; next_move int := 1; this_cap bigint; this_left bigint; held_back bigint;
    set_caps bigint[] := array_fill(null::bigint, array[cardinality(budgets_)]);
    used bigint[] := array_fill(0::bigint, array[cardinality(budgets_)]);
    accepted boolean := false; must_wake boolean := false; must_release boolean := false; wakes boolean := false;
begin
    if not synced then
        perform set_config('synchronous_commit', 'off', true);
    end if;
    for row in
        select o.i, held.owner, held.fence from unnest(roots_) with ordinality o(root, i)
        join leases held on held.root = o.root order by held.root for update of held
    loop
        owners[row.i] := row.owner;
        fences[row.i] := row.fence;
    end loop;
    for row in
        select o.i, r.seq, r.head from unnest(runs_) with ordinality o(run, i)
        join runs r on r.run = o.run order by r.run for update of r
    loop
        seqs[row.i] := row.seq;
        heads[row.i] := row.head;
    end loop;
    if cardinality(tickets_) > 0 then
        for row in
            select o.i, a.version from unnest(tickets_) with ordinality o(id, i)
            join approvals a on a.id = o.id order by a.id for update of a
        loop
            versions[row.i] := row.version;
            known[row.i] := true;
        end loop;
    end if;
    if cardinality(budgets_) > 0 then
        insert into budgets
        select u.id, u.scope, u.unit, u.run, -1, 0, 0 from unnest(budgets_, q_scope, q_unit, q_run) as u(id, scope, unit, run)
        where u.scope is not null order by u.id on conflict do nothing;
        for row in
            select o.i, b.reserved + b.spent as used,
                   (select c.cap from caps c where c.scope = b.scope and c.unit = b.unit order by c.n desc limit 1) as cap
            from unnest(budgets_) with ordinality o(id, i)
            join budgets b on b.id = o.id order by b.id for update of b
        loop
            used[row.i] := row.used;
            set_caps[row.i] := coalesce(row.cap, -1);
        end loop;
    end if;

    if standing_rows is not null then
        perform from standing_approvals s where s.id = any(standing_) order by s.id for update;
    elsif leans is not null then
        perform from standing_approvals s where s.id = any(standing_) order by s.id for share;
    end if;

    for i in 1 .. coalesce(cardinality(w_run), 0) loop
        r := w_run[i];
        l := w_root[i];
        if w_owner[i] is not null and (owners[l] is distinct from w_owner[i] or fences[l] is distinct from w_fence[i]) then
            a_why[i] := 'lease';
        elsif above_owner[i] is not null and (
            owners[w_above[i]] is distinct from above_owner[i] or fences[w_above[i]] is distinct from above_fence[i]
        ) then
            a_why[i] := 'lease';
        elsif w_new[i] and seqs[r] is not null then
            a_why[i] := 'exists';
        elsif not w_new[i] and seqs[r] is null then
            a_why[i] := 'unknown';
        end if;
        follows := true;
        t := next_ticket;
        while t <= cardinality(t_write) and t_write[t] = i loop
            follows := follows and versions[t_ticket[t]] = t_version[t] - 1;
            t := t + 1;
        end loop;
        if a_why[i] is null and not (follows and may_stand_{v}(i, leans, standing_rows)) then
            a_why[i] := 'approval';
        end if;
        m := next_move;
        while m <= cardinality(m_write) and m_write[m] = i loop
            this_cap := coalesce(m_cap[m], set_caps[m_budget[m]]);
            this_left := this_cap - used[m_budget[m]];
            if a_why[i] is null and m_takes[m] and this_cap >= 0 and this_left < m_amount[m] then
                a_why[i] := 'budget';
                a_short[i] := json_build_array(
                    budgets_[m_budget[m]], q_unit[m_budget[m]], this_cap, greatest(0, this_left), m_amount[m])::text;
            end if;
            m := m + 1;
        end loop;
        if a_why[i] is not null then
            next_fact := next_fact + w_facts[i];
            next_ticket := t;
            next_move := m;
            continue;
        end if;
        while next_move < m loop
            if m_takes[next_move] then
                insert into reservations
                values (runs_[r], m_step[next_move], budgets_[m_budget[next_move]], m_amount[next_move])
                on conflict on constraint reservations_pkey do update set amount = excluded.amount;
                update budgets b set reserved = b.reserved + m_amount[next_move],
                                     cap = coalesce(m_cap[next_move], set_caps[m_budget[next_move]])
                where b.id = budgets_[m_budget[next_move]];
                used[m_budget[next_move]] := used[m_budget[next_move]] + m_amount[next_move];
                a_short[i] := (coalesce(a_short[i]::jsonb, '[]') || jsonb_build_array(jsonb_build_array(
                    budgets_[m_budget[next_move]], q_unit[m_budget[next_move]],
                    coalesce(m_cap[next_move], set_caps[m_budget[next_move]]), used[m_budget[next_move]])))::text;
            else
                delete from reservations q
                where q.run = runs_[r] and q.step = m_step[next_move] and q.budget = budgets_[m_budget[next_move]]
                returning q.amount into held_back;
                if found then
                    update budgets b set reserved = b.reserved - held_back, spent = b.spent + m_amount[next_move]
                    where b.id = budgets_[m_budget[next_move]];
                    used[m_budget[next_move]] := used[m_budget[next_move]] - held_back + m_amount[next_move];
                end if;
            end if;
            next_move := next_move + 1;
        end loop;
        while next_ticket < t loop
            versions[t_ticket[next_ticket]] := t_version[next_ticket];
            last_ticket[t_ticket[next_ticket]] := next_ticket;
            next_ticket := next_ticket + 1;
        end loop;
        accepted := true;
        if standing_rows is not null then
            insert into standing_approvals
            select n.id, n.run, n.root, n.step, n.target, n.revoked, n.version, n.made, n.until
            from jsonb_to_recordset(standing_rows) as n(
                write int, id text, run text, root text, step text, target text, revoked boolean, version bigint,
                made bigint, until bigint)
            where n.write = i
            on conflict(id) do update
            set revoked = excluded.revoked, version = excluded.version, until = excluded.until;
        end if;
        if w_new[i] then
            seqs[r] := 0;
            heads[r] := '';
            created[r] := true;
            if w_lessee[i] is not null then
                owners[l] := w_lessee[i];
                fences[l] := 1;
            end if;
        end if;
        this_seq := seqs[r];
        this_head := heads[r];
        for f in next_fact .. next_fact + w_facts[i] - 1 loop
            this_seq := this_seq + 1;
            this_head := sha256(this_head || f_digest[f]);
            f_seq[f] := this_seq;
            f_head[f] := this_head;
        end loop;
        next_fact := next_fact + w_facts[i];
        seqs[r] := this_seq;
        heads[r] := this_head;
        touched[r] := true;
        a_seq[i] := this_seq;
        a_head[i] := this_head;
        if w_status[i] is not null then
            changed[r] := i;
        end if;
        if w_release[i] and w_owner[i] is not null then
            owners[l] := '';
            fences[l] := 0;
            must_release := true;
        end if;
        must_wake := must_wake or w_wake[i] is not null;
        wakes := wakes or (w_owner[i] is null and (not w_new[i] or roots_[l] = runs_[r]))
            or (w_release[i] and coalesce(w_status[i], 'parked') in ('running', 'parked'));
    end loop;

    if accepted then
        if new_runs is not null then
            insert into runs
            select n.run, n.root, n.parent, n.program, n.bundle, n.tenant, n.actor, n.requester, n.trace_id, n.span_id,
                   coalesce(w_status[changed[w_run[n.write]]], 'running'), w_parked_on[changed[w_run[n.write]]],
                   w_due[changed[w_run[n.write]]], n.created,
                   coalesce(w_updated[changed[w_run[n.write]]], n.created), seqs[w_run[n.write]], heads[w_run[n.write]]
            from jsonb_to_recordset(new_runs) as n(
                write int, run text, root text, parent text, program text, bundle text, tenant text, actor text,
                requester text, trace_id text, span_id text, created bigint, owner text, ms bigint)
            where a_why[n.write] is null;
            insert into leases
            select n.root, n.owner, 1, clock_ms_{v}() + n.ms
            from jsonb_to_recordset(new_runs) as n(write int, root text, owner text, ms bigint)
            where a_why[n.write] is null and n.owner is not null
            on conflict(root) do update set owner = excluded.owner, fence = 1, until = excluded.until;
        end if;
        update runs t set
            seq = u.seq, head = u.head,
            status = case when u.w is null then t.status else w_status[u.w] end,
            parked_on = case when u.w is null then t.parked_on else w_parked_on[u.w] end,
            due = case when u.w is null then t.due
                       when w_status[u.w] = 'parked' and t.status = 'running' then least(t.due, w_due[u.w])
                       else w_due[u.w] end,
            updated = case when u.w is null then t.updated else w_updated[u.w] end
        from unnest(runs_, seqs, heads, changed, touched, created) as u(run, seq, head, w, touched, created)
        where t.run = u.run and u.touched and not u.created;
        insert into facts
        select runs_[w_run[u.w]], u.seq, u.kind, u.body, u.digest, u.salt, u.input, u.output, u.head
        from unnest(f_write, f_seq, f_kind, f_body, f_digest, f_salt, f_input, f_output, f_head)
             as u(w, seq, kind, body, digest, salt, input, output, head)
        where u.seq is not null;
        if cardinality(tickets_) > 0 then
            insert into approvals
            select tickets_[t_ticket[n.i]], n.run, n.root, n.step, n.state, n.version, n.opened, n.expires, t_salt[n.i], t_body[n.i]
            from jsonb_to_recordset(t_rows) as n(
                i int, run text, root text, step text, state text, version bigint, opened bigint, expires bigint)
            where last_ticket[t_ticket[n.i]] = n.i and not known[t_ticket[n.i]];
            update approvals a
            set state = n.state, version = n.version, expires = n.expires, salt = t_salt[n.i], body = t_body[n.i]
            from jsonb_to_recordset(t_rows) as n(i int, state text, version bigint, expires bigint)
            where a.id = tickets_[t_ticket[n.i]] and last_ticket[t_ticket[n.i]] = n.i and known[t_ticket[n.i]];
        end if;
        if must_wake then
            update runs t set due = least(t.due, u.wake)
            from (
                select roots_[w.root] as root, min(w.wake) as wake from unnest(w_root, w_wake, a_why) as w(root, wake, why)
                where w.wake is not null and w.why is null group by 1
            ) as u
            where t.run = u.root and t.status in ('running', 'parked');
        end if;
        if must_release then
            update leases t set owner = '', until = 0
            from unnest(w_root, w_owner, w_fence, w_release, a_why) as u(root, owner, fence, release, why)
            where u.release and u.why is null and t.root = roots_[u.root] and t.owner = u.owner and t.fence = u.fence;
        end if;
        if cardinality(b_write) > 0 then
            insert into blobs
            select roots_[w_root[u.w]], u.id, u.body from unnest(b_write, b_id, b_body) as u(w, id, body)
            where a_why[u.w] is null on conflict do nothing;
        end if;
        if cardinality(r_write) > 0 then
            insert into records
            select distinct on (u.tenant, u.key) u.tenant, u.key, u.value, runs_[w_run[u.w]], u.at
            from unnest(r_write, r_tenant, r_key, r_value, r_at) with ordinality as u(w, tenant, key, value, at, n)
            where a_why[u.w] is null order by u.tenant, u.key, u.n desc
            on conflict(tenant, key) do update
            set value = excluded.value, run = excluded.run, updated = excluded.updated;
        end if;
        if my_anchors is not null then
            if cardinality(settled) > 0 then
                update anchored t set owed = false where t.anchors = my_anchors and t.run = any(settled);
            end if;
            insert into anchored as t(run, anchors, owed, ended)
            select run, my_anchors, ends, ends from (
                select runs_[w_run[u.w]] as run, bool_or(coalesce(u.status not in ('running', 'parked'), false)) as ends
                from unnest(a_why, w_status, w_release) with ordinality as u(why, status, release, w)
                where u.why is null and (u.release or coalesce(u.status <> 'running', false))
                group by 1
            ) as rests
            on conflict(run, anchors) do update
            set owed = t.owed or excluded.owed, ended = t.ended or excluded.ended, vacuumed = false;
        end if;
        if wakes then
            perform pg_notify('magsag_' || current_schema(), '');
        end if;
    elsif synced then
        update migrations set applied = applied where n = 1;
    end if;
    return query select u.* from unnest(a_why, a_seq, a_head, a_short) as u;
end $$;

-- Remove listed trees that are still ended and untouched, and listed bundles that nobody has wanted since. Other files
-- of anchors that vouch for a removed run are told so by the note in `anchored`.
create function vacuum_listed_{v}(
    listed text[], hashes text[], before bigint, my_anchors text, out runs bigint, out facts bigint, out bundles bigint
) language plpgsql as $$
declare
    gone text[];
    gone_roots text[];
begin
    perform from leases l where l.root = any(listed) order by l.root for update;
    perform from runs r where r.root = any(listed) order by r.run for update;
    select coalesce(array_agg(root), '{}') into gone_roots from (
        select r.root from runs r where r.root = any(listed) group by r.root
        having max(r.updated) < before and count(*) filter (where r.status in ('running', 'parked')) = 0
    ) as ended;
    select coalesce(array_agg(r.run), '{}') into gone from runs r where r.root = any(gone_roots);
    delete from search_index s where s.run = any(gone);
    delete from searched s where s.run = any(gone);
    delete from facts f where f.run = any(gone);
    get diagnostics facts = row_count;
    delete from blobs b where b.root = any(gone_roots);
    delete from approvals a where a.root = any(gone_roots);
    delete from standing_approvals s where s.root = any(gone_roots);
    delete from budgets b where b.run = any(gone);
    delete from reservations q where q.run = any(gone);
    delete from anchored a where a.run = any(gone) and a.anchors = my_anchors;
    update anchored a set vacuumed = true, owed = false where a.run = any(gone);
    delete from records c where c.tenant = 'imported' and c.key = any(gone);
    delete from runs r where r.run = any(gone);
    get diagnostics runs = row_count;
    delete from leases l where l.root = any(gone_roots);
    delete from bundles b where b.hash = any(hashes) and b.put < before
        and not exists (select from runs r where r.bundle = b.hash);
    get diagnostics bundles = row_count;
end $$;

-- What the triggers of a closed ledger say.
create function refuse_closed_{v}() returns trigger language plpgsql as $$
begin
    raise exception using errcode = 'MG001', message = tg_argv[0];
end $$;
