/* Completion in the shells themselves: bash, zsh and fish run the scripts that vmmctl prints. */
#include "tests/unit/cli_service.h"

static char *dir, *socket_path;

static const struct step vms[] = {
    {.line = "GET /api/v1/vms?page_size=1000",
     .status = 200,
     .body = "{\"items\":[{\"name\":\"web\",\"state\":\"running\"},{\"name\":\"db\","
             "\"state\":\"off\"}],\"next_page_token\":null}"}};

/* Runs a shell's own command and returns its output; stderr is the test's. */
static char *shell_run(const char *command)
{
    FILE *pipe = popen(command, "re");
    struct strbuf b = {0};
    char piece[4096];
    size_t n;

    assert_non_null(pipe);
    while ((n = fread(piece, 1, sizeof piece, pipe)))
        strbuf_add(&b, piece, n);
    assert_int_equal(pclose(pipe), 0);
    return strbuf_take(&b);
}

static bool has_shell(const char *name)
{
    CLEANUP(mem_freep) char *command = str_format("command -v %s >/dev/null", name);

    if (system(command) == 0)
        return true;
    print_message("%s is not installed\n", name);
    return false;
}

static void expect(const char *command, const struct step *steps, unsigned n, const char *output)
{
    CLEANUP(mem_freep) char *got = NULL;

    service_start(socket_path, steps, n);
    got = shell_run(command);
    service_end();
    assert_string_equal(got, output);
}

/* Sets what readline sets, with its word breaks at = and :, and prints the replies. */
#define BASH(words)                                                                                \
    "bash --norc -c 'source <(vmmctl completion bash); COMP_WORDS=(vmmctl " words                  \
    "); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _vmmctl vmmctl; printf \"%s\\n\" "                  \
    "\"${COMPREPLY[@]}\"'"

static void bash_completes_words_flags_and_names(void **state)
{
    expect(BASH("vm rena"), NULL, 0, "rename\n");
    expect(BASH("ls --output = j"), NULL, 0, "json\njsonl\n");
    expect(BASH("ls --output ="), NULL, 0, "table\nwide\njson\njsonl\nyaml\nname\ncsv\n");
    expect(BASH("vm create --set firmware.type = u"), NULL, 0, "uefi\n");
    expect(BASH("vm start \"\""), vms, 1, "web\ndb\n");
}

#define ZSH(words)                                                                                 \
    "zsh -f -c 'compdef() { :; }; compadd() { while [[ $1 != -a ]]; do shift; done; print -l -- "  \
    "${(P)2}; }; _describe() { print -l -- ${(P)4}; }; _files() { print files; }; "                \
    "source <(vmmctl completion zsh); words=(vmmctl " words                                        \
    "); CURRENT=${#words}; PREFIX=$words[-1]; _vmmctl'"

static void zsh_completes_words_flags_and_names(void **state)
{
    if (!has_shell("zsh"))
        skip();
    expect(ZSH("vm rena"), NULL, 0, "rename:give a VM another name\n");
    expect(ZSH("ls --output=json"), NULL, 0, "--output=json:\n--output=jsonl:\n");
    expect(ZSH("vm create --set firmware.t"), NULL, 0, "firmware.type=\n");
    expect(ZSH("vm create -f x"), NULL, 0, "files\n");
    expect(ZSH("vm start \"\""), vms, 1, "web:running\ndb:off\n");
}

#define FISH(line) "fish --no-config -c 'vmmctl completion fish | source; complete -C \"" line "\"'"

static void fish_completes_words_flags_and_names(void **state)
{
    if (!has_shell("fish"))
        skip();
    expect(FISH("vmmctl vm rena"), NULL, 0, "rename\tgive a VM another name\n");
    expect(FISH("vmmctl vm create --firmware u"), NULL, 0, "uefi\n");
    expect(FISH("vmmctl vm start w"), vms, 1, "web\trunning\n");
}

static int set_up(void **state)
{
    const char *bin = getenv("VMMD_BIN"), *path = getenv("PATH");
    CLEANUP(mem_freep) char *with_bin = str_format("%s:%s", bin ? bin : ".", path ? path : "");

    dir = tmp_dir_make();
    socket_path = str_format("%s/api.sock", dir);
    setenv("PATH", with_bin, 1);
    setenv("HOME", dir, 1);
    setenv("XDG_CONFIG_HOME", dir, 1);
    setenv("VMMD_SOCKET", socket_path, 1);
    return 0;
}

static int tear_down(void **state)
{
    tmp_dir_remove(dir);
    free(socket_path);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bash_completes_words_flags_and_names),
        cmocka_unit_test(zsh_completes_words_flags_and_names),
        cmocka_unit_test(fish_completes_words_flags_and_names),
    };

    return cmocka_run_group_tests_name("shells", tests, set_up, tear_down);
}
