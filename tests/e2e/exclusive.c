/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An exclusive region of the real launcher, with programs that are cvd-client, and cvd-vm in the
 * guest's place: one has the region, others are told who, and may look.
 */
#include "tests/support/launcher.h"
#include "tests/support/vm.h"

#include <json-glib/json-glib.h>
#include <signal.h>
#include <string.h>

#define NAME   "exclusive"
#define N_MANY 10

static const char layout_text[] =
    "{\"vsoc_device_regions\": ["
    " {\"device_name\": \"sensors\", \"region_size\": \"16K\", \"exclusive\": true},"
    " {\"device_name\": \"misc\", \"region_size\": \"16K\"}]}";

typedef struct {
    TestSandbox *sandbox;
    TestProcess *launcher;
    TestProcess *vm;
} Fixture;

static char *write_layout(const TestSandbox *sandbox)
{
    g_autofree char *path = test_sandbox_path(sandbox, "layout.json");

    g_assert_true(g_file_set_contents(path, layout_text, -1, NULL));
    return g_strconcat("layout=", path, NULL);
}

static Fixture *set_up(void)
{
    Fixture *f = g_new0(Fixture, 1);

    f->sandbox = test_sandbox_new();
    g_autofree char *layout = write_layout(f->sandbox);
    f->launcher = test_launch(f->sandbox, NAME, "--serve-only", "--set", layout, NULL);
    test_process_wait_err(f->launcher, "serving without a VM", 1);
    f->vm = test_vm_start(f->sandbox, "--name", NAME, NULL);
    test_vm_wait_ready(f->vm);
    return f;
}

static void tear_down(Fixture *f)
{
    test_process_signal(f->vm, SIGTERM);
    test_process_wait_end(f->vm);
    test_launcher_stop(f->launcher, SIGTERM);
    test_process_free(f->vm);
    test_process_free(f->launcher);
    test_sandbox_free(f->sandbox);
    g_free(f);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Fixture, tear_down)

static TestProcess *start(const Fixture *f, const char *verb, const char *region,
                          const char *option, const char *value)
{
    const char *argv[] = {g_getenv("CVD_CLIENT"), verb, region, option, value, NULL};

    return test_process_start(f->sandbox, argv, NULL, NULL);
}

/* Returns: one that has the region, as it gets answers, and does not end by itself */
static TestProcess *start_holder(const Fixture *f)
{
    TestProcess *holder = start(f, "ping", "sensors", "--interval", "0.01");

    test_process_wait_out(holder, ": time ", 1);
    return holder;
}

static char *run(const Fixture *f, const char *verb, const char *region, const char *option,
                 const char *value)
{
    g_autoptr(TestProcess) tool = start(f, verb, region, option, value);

    test_launcher_assert_exit(tool, 0);
    g_assert_cmpstr(tool->err->str, ==, "");
    return g_strdup(tool->out->str);
}

static void assert_refused(const Fixture *f, const TestProcess *holder)
{
    g_autoptr(TestProcess) tool = start(f, "ping", "sensors", "-c", "1");
    g_autofree char *who =
        g_strdup_printf("region 'sensors' is exclusive, and pid %d (cvd-client) has it; end that "
                        "program first; info, read, dump and watch only look, and work meanwhile\n",
                        holder->pid);

    test_launcher_assert_exit(tool, 1);
    g_assert_cmpstr(tool->out->str, ==, "");
    g_assert_true(g_str_has_suffix(tool->err->str, who));
}

static void assert_free(const Fixture *f)
{
    g_autofree char *text = run(f, "ping", "sensors", "-c", "1");

    g_assert_nonnull(strstr(text, "1: time "));
}

static guint count(const char *text, const char *part)
{
    guint n = 0;

    for (const char *at = text; (at = strstr(at, part)) != NULL; at++)
        n++;
    return n;
}

static void test_second_program(gconstpointer data)
{
    g_autoptr(Fixture) f = set_up();
    g_autoptr(TestProcess) holder = start_holder(f);
    g_autofree char *line = g_strdup_printf(
        "refused: region \"sensors\" is exclusive, and pid %d (cvd-client) has it", holder->pid);

    assert_refused(f, holder);
    test_process_wait_err(f->launcher, line, 1);
    G_GNUC_UNUSED g_autofree char *other = run(f, "ping", "misc", "-c", "1");
    test_process_signal(holder, SIGINT);
    test_process_wait_end(holder);
    assert_free(f);
    g_assert_cmpuint(count(f->launcher->err->str, "is exclusive"), ==, 1);
}

/* Whoever was killed, or stopped and killed, has nothing any more. One that is stopped has. */
static void test_first_is_killed(gconstpointer data)
{
    g_autoptr(Fixture) f = set_up();

    for (guint i = 0; i < 2; i++) {
        g_autoptr(TestProcess) holder = start_holder(f);
        if (i == 1) {
            test_process_signal(holder, SIGSTOP);
            assert_refused(f, holder);
        }
        test_process_signal(holder, SIGKILL);
        test_process_wait_end(holder);
        assert_free(f);
    }
}

static void assert_info(const Fixture *f, const char *line, gint64 holder)
{
    g_autofree char *text = run(f, "info", "sensors", NULL, NULL);
    g_autofree char *json = run(f, "info", "sensors", "--json", NULL);
    g_autoptr(JsonNode) root = json_from_string(json, NULL);
    JsonObject *object = json_node_get_object(root);

    g_assert_true(g_str_has_suffix(text, line));
    g_assert_true(json_object_get_boolean_member(object, "exclusive"));
    g_assert_cmpint(json_object_get_int_member_with_default(object, "holder_pid", -1), ==, holder);
}

/* It is the first region, which a listing looks at the window through. */
static void test_look_at_it(gconstpointer data)
{
    g_autoptr(Fixture) f = set_up();

    assert_info(f, "\nexclusive       one program at a time; none has it\n", -1);
    g_autoptr(TestProcess) watch = start(f, "watch", "sensors", NULL, NULL);
    g_autoptr(TestProcess) holder = start_holder(f);
    g_autofree char *line = g_strdup_printf(
        "\nexclusive       one program at a time; pid %d (cvd-client) has it\n", holder->pid);
    assert_info(f, line, holder->pid);
    g_autofree char *list = run(f, "list", NULL, NULL, NULL);
    g_assert_nonnull(strstr(list, "\nsensors "));
    g_autofree char *bytes = run(f, "read", "sensors", "0x40", "4");
    g_assert_true(strstr(bytes, "00000040") != NULL);
    g_autofree char *file = test_sandbox_path(f->sandbox, "dump");
    g_free(run(f, "dump", "sensors", file, NULL));
    g_autofree char *misc = run(f, "info", "misc", NULL, NULL);
    g_assert_null(strstr(misc, "exclusive"));

    /* None of them was in the way of the one that has it. */
    guint n = count(holder->out->str, ": time ");
    test_process_wait_out(holder, ": time ", n + 1);
    g_assert_cmpuint(count(f->launcher->err->str, "is exclusive"), ==, 0);
    test_process_signal(watch, SIGINT);
    test_process_wait_end(watch);
}

/* Whichever is first: all others are told so, and the log has a line for each of them at most. */
static void test_many_at_once(gconstpointer data)
{
    g_autoptr(Fixture) f = set_up();
    TestProcess *tools[N_MANY];
    guint n_done = 0;

    for (guint i = 0; i < N_MANY; i++)
        tools[i] = start(f, "ping", "sensors", "-c", "500");
    for (guint i = 0; i < N_MANY; i++) {
        int status = test_process_wait_exit(tools[i]);
        n_done += status == 0;
        if (status != 0)
            test_launcher_assert_err(tools[i], "region 'sensors' is exclusive, and pid ");
        test_process_free(tools[i]);
    }
    g_assert_cmpuint(n_done, >=, 1);
    g_assert_cmpuint(count(f->launcher->err->str, "is exclusive"), <=, N_MANY - n_done);
    assert_free(f);
}

static void test_print_layout(gconstpointer data)
{
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_autofree char *layout = write_layout(sandbox);
    g_autoptr(TestProcess) launcher =
        test_launch(sandbox, NAME, "--print-layout", "--set", layout, NULL);

    test_launcher_assert_exit(launcher, 0);
    g_assert_nonnull(strstr(launcher->out->str, "  sensors*  "));
    g_assert_nonnull(strstr(launcher->out->str, "  misc  "));
    g_assert_nonnull(strstr(launcher->out->str, "*: exclusive"));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    test_add("/exclusive/second-program", NULL, test_second_program);
    test_add("/exclusive/first-is-killed", NULL, test_first_is_killed);
    test_add("/exclusive/look-at-it", NULL, test_look_at_it);
    test_add("/exclusive/many-at-once", NULL, test_many_at_once);
    test_add("/exclusive/print-layout", NULL, test_print_layout);
    return g_test_run();
}
