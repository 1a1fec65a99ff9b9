/* vmmctl against the real daemon with VMs that have no guest: what people do all day, end to end.
 */
#include "tests/lib/rig.h"
#include "tests/lib/rig_shell.h"

#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/str.h"

#include <fcntl.h>
#include <pty.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static struct rig rig;
static char *out; /* of the last vmmctl, with what it said */

/* 'output' NULL: any */
static void expect(const char *line, int code, const char *output)
{
    if (rig_shell(&rig, line, &out) != code)
        fail_msg("%s: not exit code %d: %s", line, code, out);
    if (output)
        assert_string_equal(out, output);
}

static void write_file(const char *name, const char *text)
{
    CLEANUP(mem_freep) char *path = str_format("%s/%s", rig.dir, name);
    CLEANUP(closep) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    struct err err;

    assert_true(fd >= 0 && fs_write_all(fd, text, strlen(text), &err));
}

static void documents_become_vms_and_the_same_again_changes_nothing(void **state)
{
    write_file("shop.yaml", "kind: vm\n"
                            "name: shop-1\n"
                            "backend: fake\n"
                            "memory: 64M\n"
                            "labels: {app: shop}\n"
                            "disks:\n"
                            "- size: 1M\n"
                            "---\n"
                            "name: shop-2\n"
                            "backend: fake\n"
                            "memory: 64M\n"
                            "labels: {app: shop}\n"
                            "nics:\n"
                            "- network: user\n");
    expect("vmmctl apply -f shop.yaml --check", 6,
           "vm/shop-1 created (dry run)\nvm/shop-2 created (dry run)\n");
    expect("vmmctl apply -f shop.yaml", 0, "vm/shop-1 created\nvm/shop-2 created\n");
    expect("vmmctl apply -f shop.yaml", 0, "vm/shop-1 unchanged\nvm/shop-2 unchanged\n");
    expect("vmmctl apply -f shop.yaml --check", 0, "vm/shop-1 unchanged\nvm/shop-2 unchanged\n");
}

static void a_changed_document_changes_what_it_names_and_no_more(void **state)
{
    expect(
        "sed -e 's/^memory: 64M/memory: 128M/' -e 's/app: shop/tier: front/' shop.yaml >new.yaml",
        0, "");
    expect("vmmctl apply -f new.yaml --dry-run", 0,
           "vm/shop-1 changed (dry run)\n  labels.tier: null -> \"front\"\n"
           "  memory_bytes: 67108864 -> 134217728\n"
           "vm/shop-2 changed (dry run)\n  labels.tier: null -> \"front\"\n"
           "  memory_bytes: 67108864 -> 134217728\n");
    expect("vmmctl apply -f new.yaml -o csv --fields name,outcome", 0,
           "name,outcome\r\nshop-1,changed\r\nshop-2,changed\r\n");
    expect("vmmctl ls --filter label.tier==front,label.app==shop --fields name,memory_bytes -o csv",
           0, "name,memory_bytes\r\nshop-1,134217728\r\nshop-2,134217728\r\n");
}

static void what_can_never_change_is_said_and_does_not_hold_up_the_rest(void **state)
{
    write_file("bad.json", "[{\"name\":\"shop-1\",\"disks\":[{\"size\":\"2M\"}]},"
                           "{\"name\":\"shop-2\",\"notes\":\"x\"}]");
    expect("vmmctl apply -f bad.json", 6,
           "vm/shop-1 failed\nvmmctl: vm/shop-1: disks cannot be changed any more\n"
           "vm/shop-2 changed\n  notes: null -> \"x\"\n");
    expect("echo 'kind: router' | vmmctl apply -f -", 2,
           "vmmctl: standard input: document 1 has a kind that is not known (vm, template, pool, "
           "webhook)\n");
    expect("vmmctl apply -f .", 2, NULL);
}

static void what_no_document_names_any_more_is_pruned(void **state)
{
    expect("vmmctl apply -f shop.yaml --start -q >/dev/null", 0, "");
    write_file("one.yaml", "{name: shop-2, labels: {app: shop}}\n");
    expect("vmmctl apply -f one.yaml --prune label.app==shop --dry-run", 0,
           "vm/shop-2 unchanged\nvm/shop-1 deleted (dry run)\n");
    expect("vmmctl apply -f one.yaml --prune label.app==shop", 6, NULL);
    expect("vmmctl apply -f one.yaml --prune label.app==shop --force", 0,
           "vm/shop-2 unchanged\nshop-1 is deleted\nvm/shop-1 deleted\n");
    expect("vmmctl ls -o name", 0, "shop-2\n");
}

static void every_list_has_the_members_that_its_table_shows(void **state)
{
    static const char *const lists[] = {"vm",   "op",   "token", "webhook",
                                        "pool", "disk", "media", "template"};

    expect("vmmctl webhook create w --to http://127.0.0.1:1/ --disabled >/dev/null 2>&1", 0, NULL);
    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        CLEANUP(mem_freep)
        char *line = str_format("vmmctl %s list && vmmctl %s list -o wide --limit 1 && "
                                "vmmctl %s list -q && vmmctl %s list -o name",
                                lists[i], lists[i], lists[i], lists[i]);
        expect(line, 0, NULL);
    }
    expect("vmmctl ls --fields nmae", 8, NULL);
    assert_non_null(strstr(out, "name"));
    expect("vmmctl op list --filter kind==vm.create --order created_at --limit 1 --fields "
           "kind,object.name --no-headers",
           0, "vm.create  shop-1\n");
}

static void many_vms_are_commanded_by_what_they_are(void **state)
{
    expect("for i in 1 2 3; do vmmctl vm create ci-$i --backend fake --label ci=true -q; done "
           ">/dev/null",
           0, "");
    expect("vmmctl start --filter 'name~=ci-*' -q >/dev/null", 0, "");
    expect("vmmctl ls --filter label.ci==true,run.state==running --order -name -o name", 0,
           "ci-3\nci-2\nci-1\n");
    expect("vmmctl rm --filter label.ci==true --force", 0,
           "ci-1 is deleted\nci-2 is deleted\nci-3 is deleted\n");
    expect("vmmctl rm --filter label.ci==true", 0, "no VM fits\n");
}

static void vms_come_from_templates_and_from_each_other(void **state)
{
    expect("vmmctl template create small --backend fake --memory 64M --vcpus 2 --label from=t -q "
           ">/dev/null",
           0, "");
    expect("vmmctl template edit small --set cpu.max_vcpus=4 -o csv --fields "
           "name,spec.vcpus,spec.cpu.max_vcpus",
           0, "name,spec.vcpus,spec.cpu.max_vcpus\r\nsmall,2,4\r\n");
    expect("vmmctl vm create t1 --template small --vcpus 3 --start -o csv --fields "
           "name,vcpus,cpu.max_vcpus,run.state,label.from",
           0,
           "t1 is created\nname,vcpus,cpu.max_vcpus,run.state,label.from\r\nt1,3,4,running,t\r\n");
    expect("vmmctl vm copy t1 t2 --set vcpus=1 -q >/dev/null", 0, "");
    expect("vmmctl ls --filter label.from==t --fields name,vcpus -o csv --no-headers", 0,
           "t1,3\r\nt2,1\r\n");
    expect("vmmctl vm create t3 --template small --like t1", 2, NULL);
    expect("vmmctl vm create t3 --template none", 5, NULL);
    expect("vmmctl vm log t1", 0, NULL);
    expect("vmmctl template rename small tiny && vmmctl template delete tiny", 0,
           "small is called tiny now\ntiny is deleted\n");
    expect("vmmctl rm --filter label.from==t --force -q >/dev/null", 0, "");
}

static void a_medium_is_put_in_and_taken_out(void **state)
{
    expect("mkdir -p main/media && echo iso >main/media/a.iso && chmod -R a+rX main/media", 0, "");
    expect("vmmctl media list -o name", 0, "a.iso\n");
    expect("vmmctl vm create cd --backend fake --cdrom empty -q >/dev/null && vmmctl start cd -q "
           ">/dev/null",
           0, "");
    expect("vmmctl vm insert cd a.iso -o csv --fields cdroms.media --no-headers", 0, "a.iso\r\n");
    expect("vmmctl vm insert cd b.iso", 5, NULL);
    expect("vmmctl vm insert cd a.iso --drive 1", 6, NULL);
    expect("vmmctl eject cd -o csv --fields cdroms.media --no-headers", 0, "\r\n");
    expect("vmmctl rm cd --force -q >/dev/null", 0, "");
}

static void a_guest_is_waited_for_by_what_it_writes_and_what_is_typed(void **state)
{
    const char *why;

    if (!rig_possible(&why)) {
        print_message("%s\n", why);
        skip();
    }
    expect("vmmctl vm create g --kernel tiny --cmdline '" RIG_CMDLINE "' --memory 192M --start "
           "--wait='serial:VMMD-GUEST READY' --timeout 2m -q >/dev/null",
           0, "");
    expect("echo 'echo $((6 * 7))-answer' | vmmctl console g --until '42-answer' --timeout 60s "
           ">/dev/null",
           0, "");
    expect("vmmctl vm wait g --for 'serial:^42-answer' --history 4096 --timeout 60s", 0, "");
    expect("vmmctl vm log g --serial -n 5 | grep -c '^42-answer'", 0, "1\n");
    expect("vmmctl vm key g ctrl-c && vmmctl vm pointer g --at 0.5,0.5 --click left", 0, "");
    expect("vmmctl stop g --force -q >/dev/null; vmmctl rm g -q >/dev/null", 0, "");
}

static void documents_become_templates(void **state)
{
    write_file("t.yaml", "kind: template\nname: doc\nspec: {memory: 64M, backend: fake}\n---\n"
                         "name: doc-1\ntemplate: doc\n");
    expect("vmmctl apply -f t.yaml", 0, "template/doc created\nvm/doc-1 created\n");
    expect("vmmctl apply -f t.yaml", 0, "template/doc unchanged\nvm/doc-1 unchanged\n");
    expect(
        "sed s/64M/128M/ t.yaml | vmmctl apply -f -", 0,
        "template/doc changed\n  spec.memory_bytes: 67108864 -> 134217728\nvm/doc-1 unchanged\n");
    expect("vmmctl rm doc-1 -q >/dev/null; vmmctl template delete doc -y", 0, "doc is deleted\n");
}

static void waiting_ends_with_the_state(void **state)
{
    expect("vmmctl vm wait shop-2 --for running --timeout 20s", 0, "");
    expect("(vmmctl vm wait shop-2 --for off --timeout 60s && echo is off) & "
           "vmmctl vm stop shop-2 --force -q >/dev/null; wait",
           0, "is off\n");
}

/* ---- another machine's service ---- */

#define ELSEWHERE "env -u VMMD_SOCKET VMMD_CONFIG=$PWD/ctl/config vmmctl "
#define ADDRESS   "$(sed -n 's/^listen = //p' vmmd.conf)"

static void a_login_trusts_a_named_certificate_and_remembers_what_works(void **state)
{
    expect("vmmctl token create far --role viewer >far.token && echo wrong >wrong.token", 0, NULL);
    expect(ELSEWHERE "login " ADDRESS " --token-file far.token", 3, NULL);
    assert_non_null(strstr(out, "its SHA-256 fingerprint is"));
    expect(ELSEWHERE "login " ADDRESS " --token-file wrong.token --accept-fingerprint "
                     "$(openssl x509 -noout -fingerprint -sha256 -in cert.pem | cut -d= -f2)",
           4, NULL);
    expect("ls ctl/config", 2, NULL);
    expect(ELSEWHERE "login " ADDRESS " --name far --token-file - --accept-fingerprint "
                     "$(openssl x509 -noout -fingerprint -sha256 -in cert.pem | cut -d= -f2) "
                     "<far.token",
           0, NULL);
    expect("stat -c %a ctl/config ctl", 0, "600\n700\n");
    expect(ELSEWHERE "pool list -o name", 0, "main\nsecond\n");
    expect(ELSEWHERE "context list -o name", 0, "far\n");
}

/* Types the answer to each question that a program asks at a terminal; its exit code. */
static int converse(const char *command, const char *const questions[][2], size_t n)
{
    struct strbuf said = {0};
    size_t asked = 0, seen = 0;
    char piece[1024];
    int terminal, status;
    pid_t child = forkpty(&terminal, NULL, NULL, NULL);
    ssize_t got;

    assert_true(child >= 0);
    if (child == 0) {
        execl("/bin/sh", "sh", "-c", command, NULL);
        _exit(127);
    }
    while ((got = read(terminal, piece, sizeof piece)) > 0) {
        strbuf_add(&said, piece, (size_t)got);
        if (asked == n || !strstr(said.data + seen, questions[asked][0]))
            continue;
        seen = said.len;
        assert_true(write(terminal, questions[asked][1], strlen(questions[asked][1])) > 0);
        asked++;
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    close(terminal);
    free(out);
    out = strbuf_take(&said);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void a_person_compares_the_fingerprint_and_types_the_token_unseen(void **state)
{
    CLEANUP(mem_freep)
    char *command =
        str_format("cd %s && TERM=xterm " ELSEWHERE "login " ADDRESS " --name near", rig.dir);
    CLEANUP(mem_freep) char *path = str_format("%s/far.token", rig.dir);
    CLEANUP(closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    CLEANUP(mem_freep) char *token = NULL;
    const char *const no[][2] = {{"Is that the fingerprint on the host?", "n\n"}};
    const char *yes[][2] = {{"Is that the fingerprint on the host?", "y\n"}, {"Token: ", NULL}};
    struct err err;

    assert_true(fd >= 0 && fs_read_all(fd, 1000, &token, NULL, &err));
    yes[1][1] = token;
    assert_int_equal(converse(command, no, 1), 1);
    if (converse(command, yes, 2) != 0)
        fail_msg("%s", out);
    token[strcspn(token, "\n")] = 0;
    assert_null(strstr(out, token));
    expect(ELSEWHERE "context list -o csv --fields name,current", 0,
           "name,current\r\nfar,false\r\nnear,true\r\n");
    expect(ELSEWHERE "--context near pool list -q | wc -l", 0, "2\n");
    expect(ELSEWHERE "context remove near && " ELSEWHERE "context list -o name", 0, "far\n");
}

static int setup(void **state)
{
    const char *bin = getenv("VMMD_BIN"), *path = getenv("PATH");
    CLEANUP(mem_freep) char *here = realpath(bin ? bin : "build/dev", NULL);
    CLEANUP(mem_freep) char *with_bin = str_format("%s:%s", here, path ? path : "");
    CLEANUP(mem_freep) char *socket_path = NULL;

    rig_make(&rig, 0);
    socket_path = str_format("%s/run/api.sock", rig.dir);
    setenv("PATH", with_bin, 1);
    setenv("VMMD_SOCKET", socket_path, 1);
    setenv("HOME", rig.dir, 1);
    unsetenv("XDG_CONFIG_HOME");
    return 0;
}

static int teardown(void **state)
{
    mem_freep(&out);
    rig_remove(&rig);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(documents_become_vms_and_the_same_again_changes_nothing),
        cmocka_unit_test(a_changed_document_changes_what_it_names_and_no_more),
        cmocka_unit_test(what_can_never_change_is_said_and_does_not_hold_up_the_rest),
        cmocka_unit_test(what_no_document_names_any_more_is_pruned),
        cmocka_unit_test(waiting_ends_with_the_state),
        cmocka_unit_test(vms_come_from_templates_and_from_each_other),
        cmocka_unit_test(a_medium_is_put_in_and_taken_out),
        cmocka_unit_test(documents_become_templates),
        cmocka_unit_test(a_guest_is_waited_for_by_what_it_writes_and_what_is_typed),
        cmocka_unit_test(every_list_has_the_members_that_its_table_shows),
        cmocka_unit_test(a_login_trusts_a_named_certificate_and_remembers_what_works),
        cmocka_unit_test(a_person_compares_the_fingerprint_and_types_the_token_unseen),
        cmocka_unit_test(many_vms_are_commanded_by_what_they_are),
    };
    const char *why;

    if (!rig_possible_bare(&why)) {
        print_message("[  SKIPPED ] integration/ctl: %s\n", why);
        return 0;
    }
    return cmocka_run_group_tests_name("integration/ctl", tests, setup, teardown);
}
