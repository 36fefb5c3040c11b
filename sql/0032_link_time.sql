-- 0032_link_time: times on a link's page in the form of a timestamptz
--
-- The panel writes a moment as the reader's language does (lib/when), from the local time and its offset; it cannot read
-- the name of a zone. A zone that the server does not know is GMT.
create or replace function link_time(at timestamptz, zone text) returns text language plpgsql stable as $$
declare
  local timestamp;
  ahead interval;
begin
  begin
    local := at at time zone zone;
  exception when invalid_parameter_value then
    local := at at time zone 'UTC';
  end;
  ahead := local - (at at time zone 'UTC');
  return to_char(local, 'YYYY-MM-DD HH24:MI:SS') || case when ahead < interval '0' then '-' else '+' end
    || to_char(greatest(ahead, -ahead), 'HH24:MI');
end $$;
