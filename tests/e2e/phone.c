/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conf/examples/phone.json: a Linux guest with a shared folder, a TPM and a disk of programs beside
 * QEMU, and three host programs that signal it: one in C, one in Python, one a shell script. Each
 * of the three prints a line when the guest has answered it.
 */
#include "tests/support/ctl.h"
#include "tests/support/example.h"
#include "tests/support/launcher.h"
#include "tests/support/linux.h"
#include "tests/support/rows.h"

#include <json-glib/json-glib.h>
#include <signal.h>
#include <string.h>

#define AT_ONCE "lifecycle.restart_delay_ms=0"

/* What each says when the guest has answered it. */
static const struct {
    const char *name;
    const char *line;
} signalled[] = {
    {"display", "the guest takes frames"},
    {"sensors", "the guest reads values"},
    {"buttons", "the guest sees buttons"},
};

static const struct {
    const char *name;
    const char *state;
    const char *region; /* or NULL */
} programs[] = {
    {"images", "done", NULL},           {"virtiofsd", "ready", NULL},
    {"swtpm", "ready", NULL},           {"storage", "ready", NULL},
    {"display", "ready", "hwcomposer"}, {"sensors", "ready", "sensors"},
    {"buttons", "ready", "misc"},
};

/* ---- What cvd-ctl says ---- */

/* Returns: (transfer full): what `cvd-ctl programs --json` has of each, in its order */
static GPtrArray *list_programs(const TestLinux *vm)
{
    g_autofree char *text = test_ctl_finish(
        test_ctl(vm->sandbox, "-n", TEST_LINUX_NAME, "programs", "--json", NULL), 0);
    g_auto(GStrv) lines = g_strsplit(g_strchomp(text), "\n", -1);
    GPtrArray *list = g_ptr_array_new_with_free_func((GDestroyNotify)json_node_unref);

    for (char **line = lines; *line != NULL; line++) {
        g_autoptr(GError) error = NULL;
        g_ptr_array_add(list, json_from_string(*line, &error));
        g_assert_no_error(error);
    }
    return list;
}

static JsonObject *find_program(const GPtrArray *list, const char *name)
{
    for (guint i = 0; i < list->len; i++) {
        JsonObject *program = json_node_get_object(g_ptr_array_index(list, i));
        if (strcmp(json_object_get_string_member(program, "name"), name) == 0)
            return program;
    }
    g_error("cvd-ctl programs does not show %s", name);
}

static void assert_state(const TestLinux *vm, const char *name, const char *state)
{
    g_autoptr(GPtrArray) list = list_programs(vm);

    g_assert_cmpstr(json_object_get_string_member(find_program(list, name), "state"), ==, state);
}

static void assert_all_shown(const TestLinux *vm)
{
    g_autoptr(GPtrArray) list = list_programs(vm);

    g_assert_cmpuint(list->len, ==, G_N_ELEMENTS(programs));
    for (gsize i = 0; i < G_N_ELEMENTS(programs); i++) {
        JsonObject *program = find_program(list, programs[i].name);
        JsonArray *regions = json_object_get_array_member(program, "regions");
        const char *state = json_object_get_string_member(program, "state");
        g_assert_cmpstr(state, ==, programs[i].state);
        g_assert_true((json_object_get_int_member(program, "pid") != 0) ==
                      (strcmp(state, "ready") == 0));
        g_assert_cmpuint(json_array_get_length(regions), ==, programs[i].region != NULL ? 1 : 0);
        if (programs[i].region != NULL)
            g_assert_cmpstr(json_array_get_string_element(regions, 0), ==, programs[i].region);
    }
}

/* The process that cvd-ctl shows. */
static void kill_program(const TestLinux *vm, const char *name)
{
    g_autoptr(GPtrArray) list = list_programs(vm);
    gint64 pid = json_object_get_int_member(find_program(list, name), "pid");

    g_assert_cmpint(pid, >, 1);
    g_assert_no_errno(kill((pid_t)pid, SIGKILL));
}

/* ---- What works ---- */

static void wait_answered(const TestLinux *vm, const char *name, guint n)
{
    for (gsize i = 0; i < G_N_ELEMENTS(signalled); i++) {
        g_autofree char *file = g_strdup_printf("programs/%s.log", name);
        g_autofree char *log = test_sandbox_instance_path(vm->sandbox, TEST_LINUX_NAME, file);
        if (strcmp(signalled[i].name, name) == 0)
            test_wait_file(log, signalled[i].line, n);
    }
}

static void assert_written(const TestLinux *vm, const char *name, const char *expected)
{
    g_autofree char *path = test_sandbox_path(vm->sandbox, name);
    g_autofree char *content = NULL;
    g_autoptr(GError) error = NULL;

    g_file_get_contents(path, &content, NULL, &error);
    g_assert_no_error(error);
    g_assert_true(g_str_has_prefix(content, expected));
}

/* TPM2_GetRandom of 8 bytes, which come back behind a header of 12. */
#define TPM2_GET_RANDOM                                                                            \
    "exec 3<>/dev/tpm0; printf '\\200\\001\\000\\000\\000\\014\\000\\000\\001\\173\\000\\010' "    \
    ">&3; test $(dd bs=64 count=1 <&3 2>/dev/null | wc -c) = 20"

/* Tries the devices and the programs in the @n-th guest, and sees that @n times each was so. */
static void use_all(TestLinux *vm, guint n)
{
    g_autofree char *text = g_strdup_printf("from guest %u", n);
    g_autofree char *folder = g_strdup_printf("echo '%s' >/mnt/guest", text);
    g_autofree char *disk = g_strdup_printf("printf '%s' | dd of=/dev/vda conv=fsync", text);
    g_autofree char *file = g_strdup_printf("phone/share/host-%u", n);
    g_autofree char *read = g_strdup_printf("grep -q 'from the host' /mnt/host-%u", n);

    g_free(test_sandbox_write(vm->sandbox, file, "from the host\n"));
    test_linux_shell(vm, "mkdir -p /mnt && mount -t virtiofs share /mnt");
    test_linux_shell(vm, read);
    test_linux_shell(vm, folder);
    assert_written(vm, "phone/share/guest", text);
    test_linux_shell(vm, TPM2_GET_RANDOM);
    test_linux_shell(vm, disk);
    assert_written(vm, "phone/disk.img", text);
    for (gsize i = 0; i < G_N_ELEMENTS(signalled); i++)
        wait_answered(vm, signalled[i].name, n);
    assert_all_shown(vm);
}

/* ---- Beginning ---- */

static char *why_not(void)
{
    g_autofree char *typelib =
        g_build_filename(g_getenv("CVD_CLIENT_LIBRARY"), "Cvd-1.0.typelib", NULL);
    static const char *const examples[] = {"shared-folder", "tpm", "vhost-user-disk"};
    int status = 0;

    for (gsize i = 0; i < G_N_ELEMENTS(examples); i++) {
        char *why = test_example_why_not(examples[i]);
        if (why != NULL)
            return why;
    }
    if (!g_file_test(typelib, G_FILE_TEST_EXISTS))
        return g_strdup("the library was built without introspection data");
    if (!g_spawn_command_line_sync("/usr/bin/python3 -c 'import gi'", NULL, NULL, &status, NULL) ||
        status != 0)
        return g_strdup("python3-gi is not installed");
    return NULL;
}

/* What belongs to this build directory, and where the guest's data are. Returns: NULL where it was
 * skipped. */
static TestLinux *boot(const char *setting)
{
    g_autofree char *why = why_not();
    TestSandbox *sandbox = why == NULL ? test_sandbox_new() : NULL;

    if (why != NULL) {
        test_skip(why);
        return NULL;
    }
    const char *dir = sandbox->dir, *library = g_getenv("CVD_CLIENT_LIBRARY");
    g_autofree char *config = test_source_path("conf/examples/phone.json");
    g_autofree char *images = g_strconcat("programs.images.cwd=", dir, NULL);
    g_autofree char *tpm = g_strconcat("programs.swtpm.cwd=", dir, NULL);
    g_autofree char *storage = g_strconcat("programs.storage.cwd=", dir, NULL);
    g_autofree char *folder =
        g_strdup_printf("programs.virtiofsd.argv.5=source=%s/phone/share", dir);
    g_autofree char *display =
        g_strconcat("programs.display.argv.0=", g_getenv("CVD_DISPLAY"), NULL);
    g_autofree char *typelib = g_strconcat("programs.sensors.env.GI_TYPELIB_PATH=", library, NULL);
    g_autofree char *path = g_strconcat("programs.sensors.env.LD_LIBRARY_PATH=", library, NULL);
    g_autofree char *buttons =
        g_strconcat("programs.buttons.argv.1=", g_getenv("CVD_CLIENT"), NULL);
    return test_linux_boot_config(sandbox, config, AT_ONCE, images, tpm, storage, folder, display,
                                  typelib, path, buttons, setting, NULL);
}

/* ---- The tests ---- */

/* Each VM has back ends of its own, and programs that stay find the next one. */
static void test_again(gconstpointer data)
{
    g_autoptr(TestLinux) vm = boot(NULL);

    if (vm == NULL)
        return;
    use_all(vm, 1);
    for (guint n = 2; n <= 3; n++) {
        test_linux_ctl(vm, "restart", NULL);
        test_linux_wait_ready(vm, n);
        use_all(vm, n);
    }
    test_linux_ctl(vm, "reset", NULL);
    test_process_wait_err(vm->launcher, "ready again: the guest said so", 1);
    test_linux_wait_ready(vm, 4);
    use_all(vm, 4);
    test_linux_stop(vm);
}

/* Who is not critical, each with what is said then. Then one that is, twice. */
static void test_killed_programs(gconstpointer data)
{
    g_autoptr(TestLinux) vm = boot("lifecycle.restart_limit=1");

    if (vm == NULL)
        return;
    use_all(vm, 1);
    for (gsize i = 0; i < G_N_ELEMENTS(signalled); i++) {
        g_autofree char *line =
            g_strdup_printf("program %s was killed by signal 9", signalled[i].name);
        kill_program(vm, signalled[i].name);
        test_process_wait_err(vm->launcher, line, 1);
        wait_answered(vm, signalled[i].name, 2);
    }
    kill_program(vm, "storage");
    test_process_wait_err(vm->launcher, "program storage was killed by signal 9", 1);
    assert_state(vm, "storage", "failed");
    test_linux_ping(vm, "fb_manager");
    kill_program(vm, "sensors");
    test_linux_end(vm, 1);
    test_launcher_assert_err(vm->launcher, "stopped, as program sensors was killed by signal 9");
}

typedef struct {
    const char *name;
} Critical;

static const Critical critical[] = {{"virtiofsd"}, {"swtpm"}};

static void test_killed_critical(gconstpointer data)
{
    const Critical *test = data;
    g_autofree char *line =
        g_strdup_printf("stopped, as program %s was killed by signal 9", test->name);
    g_autoptr(TestLinux) vm = boot(NULL);

    if (vm == NULL)
        return;
    kill_program(vm, test->name);
    test_linux_end(vm, 1);
    test_launcher_assert_err(vm->launcher, line);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    test_linux_add("/phone/again", NULL, test_again);
    test_linux_add("/phone/killed-programs", NULL, test_killed_programs);
    test_add_rows(test_linux_add, "/phone/killed/", critical, test_killed_critical);
    return g_test_run();
}
