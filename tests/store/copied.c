/* Every column of the database is in the disaster copies, or left out on purpose: whoever adds one
 * decides here whether a database that is made again would miss it (docs/recovery.md). */
#include "tests/store/with_store.h"

#include <string.h>

/* "=": made anew. "-": not copied, since it passes or is a secret. */
static const struct {
    const char *table, *columns;
} known[] = {
    {"vm", "id name spec revision created_ms updated_ms stands_on memory memory_leaves reason "
           "=active =phase =run =desired =slot =state_revision =state_since_ms -detail -restarts"},
    {"pool", "id name root created_ms quota_bytes reserve_bytes default_format -low_space"},
    {"file", "id pool role format size_bytes parent vm =name =state -job"},
    {"disk", "id vm pool position size_bytes format bus leaf created_ms"},
    {"snapshot", "id vm name notes parent spec created_ms memory memory_state memory_note =level"},
    {"snapshot_disk", "snapshot disk position file"},
    {"memory", "file made spec leaves way held_bytes pause_us took_ms created_ms packed_bytes "
               "plain_bytes"},
    {"template", "id name content revision created_ms updated_ms created_by"},
    {"daemon", "=one =epoch"},
    {"spared", "=pool =name"},
};
/* Whole tables: what passes, and who may come in. */
static const char *const left_out[] = {"job",
                                       "event",
                                       "audit",
                                       "token",
                                       "idem",
                                       "webhook",
                                       "session",
                                       "user",
                                       "user_grant",
                                       "user_certificate",
                                       "sqlite_sequence"};

static bool is_left_out(const char *table)
{
    for (size_t i = 0; i < ARRAY_LEN(left_out); i++)
        if (str_eq(left_out[i], table))
            return true;
    return false;
}

static const char *columns_of(const char *table)
{
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (str_eq(known[i].table, table))
            return known[i].columns;
    fail_msg("the table %s is not in the copies: say here why not", table);
    return "";
}

static bool has_word(const char *words, const char *word)
{
    size_t len = strlen(word);

    for (const char *at = words; (at = strstr(at, word)); at++)
        if ((at == words || strchr(" =-", at[-1])) && (!at[len] || at[len] == ' '))
            return true;
    return false;
}

static void check_table(sqlite3 *db, const char *table)
{
    CLEANUP(mem_freep) char *sql = str_format("PRAGMA table_info(\"%s\")", table);
    const char *columns = columns_of(table);
    sqlite3_stmt *rows = NULL;

    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &rows, NULL), SQLITE_OK);
    while (sqlite3_step(rows) == SQLITE_ROW)
        if (!has_word(columns, (const char *)sqlite3_column_text(rows, 1)))
            fail_msg("%s.%s is not in the copies: put it into core/rebuild/document.c, or say here "
                     "why not",
                     table, sqlite3_column_text(rows, 1));
    sqlite3_finalize(rows);
}

static void every_column_is_copied_or_left_out_on_purpose(void **state)
{
    char *dir = tmp_dir_make();
    CLEANUP(mem_freep) char *path = str_format("%s/vmmd.db", dir);
    sqlite3_stmt *tables = NULL;
    sqlite3 *db = NULL;

    store_close(open_store(dir));
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, "SELECT name FROM sqlite_schema WHERE type = 'table'",
                                        -1, &tables, NULL),
                     SQLITE_OK);
    while (sqlite3_step(tables) == SQLITE_ROW) {
        const char *table = (const char *)sqlite3_column_text(tables, 0);
        if (!is_left_out(table))
            check_table(db, table);
    }
    sqlite3_finalize(tables);
    sqlite3_close(db);
    tmp_dir_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_column_is_copied_or_left_out_on_purpose),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
