-- 0036_observe_by_key: what gateways observed is looked up by the key of the roll
--
-- observe_add forbids what would read whole tables, which left the planner two ways to an address: the key, and the index
-- that finds fragments of it, which it takes for as cheap and which costs fifty times as much (0.6 ms for each address of a
-- domain of 20,000). Such an index is only ever read through a bitmap; the others need none.
alter function observe_add set enable_bitmapscan = off;
