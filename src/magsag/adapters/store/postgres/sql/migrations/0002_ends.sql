-- A file of anchors that knows how a run parked does not vouch for its end, which another machine may have brought about.
alter table anchored add column ended boolean not null default false;
update anchored a set ended = true from runs r
where r.run = a.run and r.status not in ('running', 'parked')
  and not exists (select from anchored other where other.run = a.run and other.anchors <> a.anchors);
