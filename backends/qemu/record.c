/* The commit log's records: see record.h. Called by the pivots of the qemu and the fake backend. */
#include "backends/qemu/record.h"

#include "core/base/json.h"

json_t *record_of_pivot(const struct machine_pivot *pivot)
{
    json_t *leaves = json_array(), *one;

    for (size_t i = 0; i < pivot->n; i++) {
        one = json_object();
        json_put_text(one, "disk", UUID_STR(&pivot->leaves[i].disk));
        json_put_text(one, "file", UUID_STR(&pivot->leaves[i].leaf));
        json_array_append_new(leaves, one);
    }
    return json_pack("{s:s,s:o}", "job", UUID_STR(&pivot->job), "leaves", leaves);
}

json_t *record_of_undone(const struct uuid *job)
{
    return json_pack("{s:s,s:b}", "job", UUID_STR(job), "undone", 1);
}
