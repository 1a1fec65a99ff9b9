/* Disaster copies as documents: what was written is read, and what is not sound is refused with
 * what is wrong. How copies are put together: tests/core/rebuild.c. */
#include "tests/lib/harness.h"

#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/rebuild/document.h"

#include <string.h>

#define ID(n)  "00000000-0000-4000-8000-0000000000" n
#define VM     ID("01")
#define POOL   ID("02")
#define DISK   ID("03")
#define BASE   ID("04")
#define LEAF   ID("05")
#define MEMORY ID("06")
#define SNAP   ID("07")
#define CHILD  ID("08")
#define OTHER  ID("09")

static const char sound[] =
    "{'version':2,'generation':4294967297,'id':'" VM "','revision':3,'created_ms':1,"
    "'spec':{'name':'web','disks':[{'id':'" DISK "','pool':'" POOL "','size_bytes':1048576}]},"
    "'stands_on':'" SNAP "','memory':'" MEMORY "','memory_leaves':'{}','reason':'user',"
    "'pools':[{'id':'" POOL "','name':'main','root':'main','default_format':'raw'}],"
    "'disks':[{'id':'" DISK "','pool':'" POOL "','leaf':'" LEAF "','position':0,"
    "'size_bytes':1048576,'format':'raw','bus':'virtio'}],"
    "'files':[{'id':'" BASE "','pool':'" POOL "','vm':'" VM "','role':'disk','format':'raw'},"
    "{'id':'" LEAF "','pool':'" POOL "','parent':'" BASE "','role':'disk','format':'qcow2'},"
    "{'id':'" MEMORY "','pool':'" POOL "','role':'memory','format':'raw'}],"
    "'memories':[{'file':'" MEMORY "','spec':{},'made':'{}','leaves':'[]','way':'still'}],"
    "'snapshots':[{'id':'" CHILD "','parent':'" SNAP "','name':'two','spec':{'name':'web'},"
    "'memory_state':'none'},"
    "{'id':'" SNAP "','name':'one','notes':'n','spec':{'name':'web'},"
    "'memory':'" MEMORY "','memory_state':'ready',"
    "'disks':[{'disk':'" DISK "','file':'" BASE "','position':0}]}]}";

static char *quoted(const char *text)
{
    char *out = str_dup(text);

    for (char *c = out; *c; c++)
        if (*c == '\'')
            *c = '"';
    return out;
}

/* The sound one with the first 'from' made 'to'. */
static char *changed(const char *from, const char *to)
{
    const char *at = strstr(sound, from);
    CLEANUP(mem_freep) char *text = NULL;

    assert_non_null(at);
    text = str_format("%.*s%s%s", (int)(at - sound), sound, to, at + strlen(from));
    return quoted(text);
}

static void what_is_written_is_read(void **state)
{
    CLEANUP(mem_freep) char *text = quoted(sound);
    CLEANUP(mem_freep) char *once = NULL;
    CLEANUP(vm_copy_clear) struct vm_copy copy = {0};
    CLEANUP(vm_copy_clear) struct vm_copy again = {0};
    CLEANUP(json_decrefp) json_t *json = NULL, *json_again = NULL;
    struct err err = {0};

    if (!vm_copy_read(text, strlen(text), &copy, &err))
        fail_msg("%s", err.detail);
    assert_int_equal(copy.n_files, 3);
    assert_int_equal(copy.files[2].role, COPY_MEMORY);
    assert_string_equal(copy.snapshots[1].notes, "n");
    json = vm_copy_json(&copy);
    once = json_write(json);
    assert_true(vm_copy_read(once, strlen(once), &again, &err));
    json_again = vm_copy_json(&again);
    assert_true(json_equal(json, json_again));
}

static void what_is_not_sound_is_refused_with_the_reason(void **state)
{
    static const struct {
        const char *from, *to, *why;
    } cases[] = {
        {"'version':2", "'version':3", "a newer vmmd"},
        {"'version':2", "'version':1", "an older vmmd"},
        {"'version':2", "'version':2,'version':2", "no JSON"},
        {"'generation':4294967297", "'generation':-1", "whole number"},
        {"'id':'" VM "'", "'id':null", "is missing"},
        {"'spec':{'name':'web',", "'spec':{'name':'we b',", "configuration"},
        {"'root':'main'", "'root':'../..'", "letters"},
        {"'leaf':'" LEAF "'", "'leaf':'" BASE "'", "another one lies on"},
        {"'leaf':'" LEAF "'", "'leaf':'" OTHER "'", "is not in it"},
        {"'leaf':'" LEAF "'", "'leaf':'" MEMORY "'", "is not in it"},
        {"{'id':'" BASE "','pool':'" POOL "'", "{'id':'" BASE "','pool':'" OTHER "'",
         "a pool that is not in it"},
        {"{'id':'" BASE "','pool':'" POOL "'", "{'id':'" LEAF "','pool':'" POOL "'",
         "is in it twice"},
        {"'parent':'" BASE "'", "'parent':'" OTHER "'", "lies on one that is not in it"},
        {"'parent':'" BASE "'", "'parent':'" MEMORY "'", "lies on one that is not in it"},
        {"'parent':'" BASE "'", "'parent':'" LEAF "'", "circle"},
        {"'role':'disk','format':'qcow2'", "'role':'disk','format':'raw'", "cannot lie on"},
        {"'role':'disk','format':'raw'", "'role':'sock','format':'raw'", "one of"},
        {"'role':'memory','format':'raw'", "'role':'memory','format':'qcow2'", "is none"},
        {"'file':'" MEMORY "'", "'file':'" BASE "'", "is not in it"},
        {"'made':'{}'", "'made':'{'", "cannot be read"},
        {"'memory_leaves':'{}'", "'memory_leaves':'x'", "goes on with"},
        {"'reason':'user'", "'reason':'a b'", "goes on with"},
        {"'memory':'" MEMORY "','memory_leaves'", "'memory':'" BASE "','memory_leaves'",
         "goes on with"},
        {"'parent':'" SNAP "','name'", "'parent':'" CHILD "','name'", "circle"},
        {"'parent':'" SNAP "','name'", "'parent':'" OTHER "','name'", "not in it"},
        {"'name':'two'", "'name':'one'", "two snapshots"},
        {"'file':'" BASE "','position'", "'file':'" LEAF "','position'", "a disk writes to"},
        {"'stands_on':'" SNAP "'", "'stands_on':'" OTHER "'", "stands on"},
        {"'memory_state':'ready'", "'memory_state':'none'", "memory of the snapshot"},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        CLEANUP(mem_freep) char *text = changed(cases[i].from, cases[i].to);
        CLEANUP(vm_copy_clear) struct vm_copy copy = {0};
        struct err err = {0};
        if (vm_copy_read(text, strlen(text), &copy, &err) || !strstr(err.detail, cases[i].why))
            fail_msg("%s: %s", cases[i].to, err.detail);
    }
}

static void a_host_s_copy_holds_pools_and_templates(void **state)
{
    CLEANUP(mem_freep)
    char *text = quoted("{'version':2,'pools':[{'id':'" POOL "','name':'main','root':'main',"
                        "'default_format':'raw'}],'templates':[{'id':'" DISK
                        "','name':'small','content':{}}]}");
    CLEANUP(host_copy_clear) struct host_copy copy = {0};
    struct err err = {0};

    assert_true(host_copy_read(text, strlen(text), &copy, &err));
    assert_int_equal(copy.pools[0].default_format, DISK_RAW);
    assert_string_equal(copy.templates[0].name, "small");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(what_is_not_sound_is_refused_with_the_reason),
        cmocka_unit_test(a_host_s_copy_holds_pools_and_templates),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
