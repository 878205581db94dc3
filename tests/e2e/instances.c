/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Several launchers on one machine: side by side, in each other's way, and around a QEMU that
 * somebody else starts.
 */
#include "base/fd.h"
#include "tests/support/instance.h"
#include "tests/support/region.h"

#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static TestProcess *boot(const TestSandbox *sandbox, const char *name)
{
    TestProcess *launcher = test_launch(sandbox, name, NULL);

    test_launcher_wait_running(launcher);
    test_launcher_wait_guest(sandbox, name, 1);
    return launcher;
}

static void ping_all(const TestSandbox *sandbox, const char *name)
{
    g_autofree char *path = test_sandbox_instance_path(sandbox, name, "client.sock");
    g_autoptr(GPtrArray) names = test_list_regions(path);

    for (guint i = 0; i < names->len; i++)
        test_ping(path, g_ptr_array_index(names, i));
}

static void test_side_by_side(gconstpointer data)
{
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_autoptr(TestProcess) first = boot(sandbox, "first");
    g_autoptr(TestProcess) second = boot(sandbox, "second");

    ping_all(sandbox, "first");
    ping_all(sandbox, "second");
    test_launcher_stop(first, SIGINT);
    g_autofree char *gone = test_sandbox_instance_path(sandbox, "first", "");
    g_assert_cmpint(access(gone, F_OK), ==, -1);
    ping_all(sandbox, "second");
    test_launcher_stop_clean(second, SIGINT, sandbox);
}

static void test_same_instance_twice(gconstpointer data)
{
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_autoptr(TestProcess) first = boot(sandbox, "same");
    g_autoptr(TestProcess) second = test_launch(sandbox, "same", NULL);
    g_autofree char *message =
        g_strdup_printf("instance 'same' is already running (pid %d)", first->pid);

    test_launcher_assert_exit(second, 1);
    test_launcher_assert_err(second, message);
    ping_all(sandbox, "same");
    test_launcher_stop_clean(first, SIGINT, sandbox);
}

/* Everything private, whatever the umask was. */
static void set_umask(gconstpointer data)
{
    umask((mode_t)GPOINTER_TO_UINT(data));
}

static void test_modes(gconstpointer data)
{
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    const char *args[] = {"--set", "lifecycle.stop=quit", NULL};
    g_autoptr(TestProcess) launcher =
        test_launch_with(sandbox, "modes", args, set_umask, GUINT_TO_POINTER(0));
    static const struct {
        const char *name;
        mode_t mode;
    } entries[] = {{"", 0700}, {"client.sock", 0600}, {"vm.sock", 0600}};

    test_launcher_wait_running(launcher);
    for (guint i = 0; i < G_N_ELEMENTS(entries); i++) {
        g_autofree char *path = test_sandbox_instance_path(sandbox, "modes", entries[i].name);
        struct stat st;
        g_assert_cmpint(lstat(path, &st), ==, 0);
        g_assert_cmpuint(st.st_mode & 07777, ==, entries[i].mode);
    }
    test_launcher_stop_clean(launcher, SIGINT, sandbox);
}

static void test_explicit_socket_paths(gconstpointer data)
{
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_autofree char *path = test_sandbox_path(sandbox, "mine");
    g_autofree char *argument = g_strdup_printf("sockets.client=%s", path);
    g_autoptr(TestProcess) first = test_launch(sandbox, "first", "--set", argument, NULL);

    test_launcher_wait_running(first);
    g_autoptr(TestProcess) second = test_launch(sandbox, "second", "--set", argument, NULL);
    test_launcher_assert_exit(second, 1);
    test_launcher_assert_err(second, path);
    g_autoptr(GPtrArray) names = test_list_regions(path);
    test_ping(path, g_ptr_array_index(names, 0));
    test_process_signal(first, SIGKILL);
    test_process_wait_end(first);

    /* What it left behind is in nobody's way. */
    g_autoptr(TestProcess) third = test_launch(sandbox, "third", "--set", argument, NULL);
    test_launcher_wait_running(third);
    test_ping(path, g_ptr_array_index(names, 0));
    test_launcher_stop(third, SIGINT);
    g_assert_cmpint(access(path, F_OK), ==, -1);
    g_autoptr(TestProcess) fourth = boot(sandbox, "first");
    test_launcher_stop(fourth, SIGINT);
    test_sandbox_assert_clean(sandbox, TEST_LOGS_LEFT); /* of the second */
}

/* What a logout or a cleaner of /tmp does; a launch needs no path to reach its own server. */
static void test_runtime_dir_is_removed(gconstpointer data)
{
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_autofree char *dir = test_sandbox_instance_path(sandbox, "gone", "");
    const char *const argv[] = {"rm", "-rf", dir, NULL};
    g_autoptr(TestProcess) launcher =
        test_launch(sandbox, "gone", "--set", "lifecycle.on_crash=restart", "--set",
                    "lifecycle.restart_delay_ms=1", "--set", "lifecycle.stop=quit", NULL);

    test_launcher_wait_running(launcher);
    g_autoptr(TestProcess) rm = test_process_start(sandbox, argv, NULL, NULL);
    test_launcher_assert_exit(rm, 0);
    kill(test_find_child(launcher->pid), SIGKILL);
    test_process_wait_err(launcher, ": running after", 2);
    test_launcher_stop_clean(launcher, SIGINT, sandbox);
}

/* Files that the configuration names are looked for beside it, whoever opens them. */
static void test_relative_disks(gconstpointer data)
{
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_autofree char *layout = test_source_path("conf/vsoc_mem.json");
    g_autofree char *sector = g_strnfill(512, 'x');
    g_autofree char *disk = test_sandbox_write(sandbox, "disk.img", sector);
    g_autofree char *json = g_strdup_printf(
        "{\"name\":\"disks\",\"layout\":\"%s\",\"lifecycle\":{\"stop\":\"quit\"},\"qemu\":{"
        "\"accel\":\"tcg\",\"kernel\":\"builtin\",\"blockdevs\":["
        "{\"driver\":\"file\",\"filename\":\"disk.img\",\"node-name\":\"a\",\"read-only\":true}],"
        "\"extra_args\":[\"-blockdev\",\"file,filename=disk.img,node-name=b,read-only=on\"]}}",
        layout);
    g_autofree char *config = test_sandbox_write(sandbox, "cvd.json", json);
    g_autoptr(TestProcess) check = test_launch_config(sandbox, config, "--check", NULL);
    test_launcher_assert_exit(check, 0);
    g_autoptr(TestProcess) launcher = test_launch_config(sandbox, config, NULL);
    test_launcher_wait_running(launcher);
    test_launcher_stop(launcher, SIGINT);
    g_assert_cmpint(unlink(disk), ==, 0);
    g_autoptr(TestProcess) without = test_launch_config(sandbox, config, "--check", NULL);
    test_launcher_assert_exit(without, 2);
    test_launcher_assert_err(without, disk);
    test_sandbox_assert_clean(sandbox, TEST_NOTHING_LEFT);
}

/* --serve-only: the words on stdout, as somebody's own shell would split them. */
static GStrv attach_arguments(TestProcess *launcher)
{
    for (;;) {
        char **words = NULL;
        int n_words = 0;
        if (g_str_has_suffix(launcher->out->str, "\n") &&
            g_shell_parse_argv(launcher->out->str, &n_words, &words, NULL) && n_words >= 4)
            return words;
        g_strfreev(words);
        guint n_lines = 0;
        for (const char *p = launcher->out->str; *p != '\0'; p++)
            n_lines += *p == '\n';
        test_process_wait_out(launcher, "", n_lines + 1);
    }
}

static TestProcess *start_qemu(const TestSandbox *sandbox, char **attach)
{
    const char *guest = g_getenv("CVD_GUEST");
    g_autoptr(GPtrArray) argv = g_ptr_array_new();
    const char *fixed[] = {"qemu-system-x86_64",
                           "-nodefaults",
                           "-no-user-config",
                           "-machine",
                           "q35",
                           "-accel",
                           "tcg",
                           "-m",
                           "64M",
                           "-display",
                           "none",
                           "-serial",
                           "stdio",
                           "-kernel",
                           guest};

    g_assert_nonnull(guest);
    for (guint i = 0; i < G_N_ELEMENTS(fixed); i++)
        g_ptr_array_add(argv, (char *)fixed[i]);
    for (; *attach != NULL; attach++)
        g_ptr_array_add(argv, *attach);
    g_ptr_array_add(argv, NULL);
    return test_process_start(sandbox, (const char *const *)argv->pdata, NULL, NULL);
}

static GStrv replace_in_all(char **words, const char *part, const char *other)
{
    g_autoptr(GStrvBuilder) builder = g_strv_builder_new();

    for (; *words != NULL; words++) {
        g_auto(GStrv) pieces = g_strsplit(*words, part, -1);
        g_autofree char *word = g_strjoinv(other, pieces);
        g_strv_builder_add(builder, word);
    }
    return g_strv_builder_end(builder);
}

static void test_own_qemu(gconstpointer data)
{
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_autofree char *vm_socket = test_sandbox_instance_path(sandbox, "serve", "vm.sock");
    g_autoptr(TestProcess) launcher = test_launch(sandbox, "serve", "--serve-only", "--set",
                                                  "limits.handshake_timeout_ms=300", NULL);
    g_auto(GStrv) attach = attach_arguments(launcher);
    g_auto(GStrv) mistaken = replace_in_all(attach, "vm.sock", "client.sock");

    g_assert_cmpint(test_find_child(launcher->pid), ==, 0);
    for (guint run = 0; run < 2; run++) {
        g_autoptr(TestProcess) qemu = start_qemu(sandbox, attach);
        test_process_wait_out(qemu, "cvd-guest: ready", 1);
        ping_all(sandbox, "serve");
        g_autoptr(TestProcess) refused = start_qemu(sandbox, attach);
        test_launcher_assert_exit(refused, 1);
        test_launcher_assert_err(refused, "server sent version 1, expecting 0");
        g_autoptr(TestProcess) lost = start_qemu(sandbox, mistaken);
        test_launcher_assert_exit(lost, 1);
        test_launcher_assert_err(lost, "server sent version 1, expecting 0");
        cvd_autofd second = test_connect(vm_socket);
        test_vm_assert_refused(second);
        ping_all(sandbox, "serve");
        test_process_signal(qemu, SIGKILL);
        test_process_wait_end(qemu);
    }
    test_launcher_stop_clean(launcher, SIGINT, sandbox);
}

static TestInstance *serve(void)
{
    TestInstance *instance =
        test_instance_start("raw", (const char *const[]){"--serve-only", NULL});

    g_strfreev(attach_arguments(instance->launcher)); /* it serves once it has printed them */
    return instance;
}

/* The hand-over, message by message; the slot is free once the VM's process has ended. */
static void test_raw_vm(gconstpointer data)
{
    g_autoptr(TestInstance) instance = serve();
    g_autoptr(GPtrArray) names = test_list_regions(instance->client_socket);

    for (guint run = 0; run < 3; run++) {
        int status;
        pid_t pid = fork();
        if (pid == 0) {
            int fd = test_connect(instance->vm_socket);
            test_vm_receive(fd, names->len);
            _exit(0);
        }
        g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
        g_assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    test_launcher_stop_clean(instance->launcher, SIGTERM, instance->sandbox);
}

/* A stop while a VM is attached, which nobody has to renew the window for. */
static void test_stop_with_a_vm(gconstpointer data)
{
    g_autoptr(TestInstance) instance = serve();
    g_autoptr(GPtrArray) names = test_list_regions(instance->client_socket);

    cvd_autofd vm = test_connect(instance->vm_socket);
    test_vm_receive(vm, names->len);
    test_launcher_stop_clean(instance->launcher, SIGINT, instance->sandbox);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    test_add("/instances/side-by-side", NULL, test_side_by_side);
    test_add("/instances/same-instance-twice", NULL, test_same_instance_twice);
    test_add("/instances/modes-with-umask-0", NULL, test_modes);
    test_add("/instances/explicit-socket-paths", NULL, test_explicit_socket_paths);
    test_add("/instances/runtime-directory-is-removed", NULL, test_runtime_dir_is_removed);
    test_add("/instances/relative-disks", NULL, test_relative_disks);
    test_add("/serve-only/own-qemu", NULL, test_own_qemu);
    test_add("/serve-only/raw-vm", NULL, test_raw_vm);
    test_add("/serve-only/stop-with-a-vm", NULL, test_stop_with_a_vm);
    return g_test_run();
}
