#!/bin/sh
# sqlite3: build a table and indices in a file, query, update, vacuum, dump.
set -e
sqlite3 test.db <<SQL
create table t(id integer primary key, k int, name text, v real);
with recursive n(i) as (select 1 union all select i + 1 from n where i < $((60000 / ${PART:-1})))
insert into t select i, (i * 7919) % 1000, 'name ' || (i * 31 % 977), i / 7.0 from n;
create index t_k on t(k);
create index t_name on t(name, v);
select count(*), sum(k), round(avg(v), 6) from t;
select k, count(*) from t group by k order by 2 desc, 1 limit 5;
select a.id, b.id from t a join t b on a.k = b.id where a.name = 'name 5' order by 1 limit 10;
begin; update t set v = v * 2 where k between 100 and 300; commit;
delete from t where id % 5 = 0;
select sum(v) from t;
pragma integrity_check;
vacuum;
SQL
sqlite3 test.db .dump | sha256sum
sqlite3 test.db 'select * from missing' || echo "status $?"
