/* replica_record - see replica_parts.h: an address's key and value on disk, its entry in memory */
#include <stdio.h>
#include <string.h>

#include "policyd/replica_parts.h"

size_t replica_key(char *out, int32_t domain_id, struct span local)
{
    uint32_t id = (uint32_t)domain_id;

    /* big-endian: keys sort as PostgreSQL sorts (domain_id, local_part collate "C") */
    out[0] = (char)(id >> 24);
    out[1] = (char)(id >> 16);
    out[2] = (char)(id >> 8);
    out[3] = (char)id;
    memcpy(out + 4, local.at, local.len);
    return 4 + local.len;
}

/* Of the server's yes and no the newer counts; a yes is known by its day only, so on that day a no
 * wins: at worst the server is asked once more. */
struct index_entry replica_entry(const struct replica_recipient *recipient, int64_t now_seconds)
{
    int64_t refused_hour = recipient->refused_hour, verified_day = recipient->verified_day;

    if (recipient->state == STATE_DISABLED)
        return (struct index_entry){INDEX_DISABLED, 0};
    if (refused_hour != 0 && refused_hour / 24 >= verified_day &&
        now_seconds / 3600 - refused_hour <= INDEX_HOURS_MOST)
        return (struct index_entry){INDEX_ACTIVE_REFUSED, index_stamp(refused_hour)};
    if (verified_day != 0 && refused_hour / 24 < verified_day &&
        now_seconds / 86400 - verified_day <= INDEX_DAYS_MOST)
        return (struct index_entry){INDEX_ACTIVE, index_stamp(verified_day)};
    return (struct index_entry){INDEX_ACTIVE, 0};
}

size_t replica_value(char *out, const struct replica_recipient *recipient)
{
    out[0] = (char)recipient->state;
    if (recipient->verified_day == 0 && recipient->refused_hour == 0)
        return 1;
    memcpy(out + 1, &recipient->verified_day, 4);
    memcpy(out + 5, &recipient->refused_hour, 4);
    return REPLICA_VALUE_MAX;
}

bool replica_value_read(struct span value, struct replica_recipient *recipient)
{
    *recipient = (struct replica_recipient){0};
    if ((value.len != 1 && value.len != REPLICA_VALUE_MAX) ||
        (unsigned char)value.at[0] > STATE_DISABLED)
        return false;
    recipient->state = (enum recipient_state)value.at[0];
    if (value.len == REPLICA_VALUE_MAX) {
        memcpy(&recipient->verified_day, value.at + 1, 4);
        memcpy(&recipient->refused_hour, value.at + 5, 4);
    }
    return true;
}

void replica_table_name(char out[REPLICA_TABLE_NAME], const char *kind, uint32_t generation)
{
    snprintf(out, REPLICA_TABLE_NAME, "%s.%06u", kind, generation);
}
