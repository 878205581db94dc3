/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A good configuration on a machine that does not play along: a QEMU that fails in every way, a
 * runtime directory or a socket path that is not ours to use, too few of something. Each start is
 * undone and told, with what to do about it.
 */
#include "base/fd.h"
#include "tests/support/launcher.h"
#include "tests/support/region.h"
#include "tests/support/rows.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define NAME   "bad"
#define NOBODY 65534

static void assert_words(const TestProcess *launcher, const char *const *words)
{
    for (; *words != NULL; words++)
        test_launcher_assert_err(launcher, *words);
}

/* Runs the launcher to its end, which must be @status with all of @words. */
static void assert_fails(const TestSandbox *sandbox, const char *const *args,
                         TestProcessSetup setup, gconstpointer data, int status,
                         const char *const *words)
{
    g_autoptr(TestProcess) launcher = test_launch_with(sandbox, NAME, args, setup, data);

    test_launcher_assert_exit(launcher, status);
    assert_words(launcher, words);
    g_assert_cmpstr(launcher->out->str, ==, "");
}

typedef struct {
    const char *name;
    const char *script;
    const char *words[3];
} FakeQemu;

/* Finds the descriptor of a channel among the arguments, as QEMU would. */
#define FAKE_PREAMBLE                                                                              \
    "#!/usr/bin/python3\n"                                                                         \
    "import os, re, signal, socket, sys\n"                                                         \
    "def channel(name):\n"                                                                         \
    "    args = ' '.join(sys.argv)\n"                                                              \
    "    options = re.search(r'socket,[^ ]*id=' + name + r'[^ ]*', args).group()\n"                \
    "    return socket.socket(fileno=int(re.search(r'fd=(\\d+)', options).group(1)))\n"            \
    "greeting = b'{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 0, \"minor\": 2, \"major\": 7},'" \
    " b' \"package\": \"\"}, \"capabilities\": []}}\\r\\n'\n"

/* Plays along until the guest is to run: `cont(command)` then says how it goes on. */
#define FAKE_START                                                                                 \
    FAKE_PREAMBLE "import json, threading, time\n"                                                 \
                  "window, qmp = channel('ivshmem'), channel('qmp')\n"                             \
                  "def read_all():\n"                                                              \
                  "    while window.recvmsg(8, 1024)[0]: pass\n"                                   \
                  "threading.Thread(target=read_all, daemon=True).start()\n"                       \
                  "def answer(command, key='return', value={}):\n"                                 \
                  "    reply = {key: value, 'id': command['id']}\n"                                \
                  "    qmp.sendall(json.dumps(reply).encode() + b'\\n')\n"                         \
                  "def event(name):\n"                                                             \
                  "    qmp.sendall(json.dumps({'event': name}).encode() + b'\\n')\n"               \
                  "state = 'prelaunch'\n"

#define FAKE_LOOP                                                                                  \
    "qmp.sendall(greeting)\n"                                                                      \
    "for line in qmp.makefile():\n"                                                                \
    "    command = json.loads(line)\n"                                                             \
    "    if command['execute'] == 'quit': os._exit(0)\n"                                           \
    "    elif command['execute'] == 'cont': cont(command)\n"                                       \
    "    elif command['execute'] == 'query-status':\n"                                             \
    "        answer(command, value={'status': state, 'running': state == 'running'})\n"            \
    "    else:\n"                                                                                  \
    "        if command['execute'] == 'stop': state = 'paused'; event('STOP')\n"                   \
    "        answer(command)\n"

static const FakeQemu fakes[] = {
    {"dies-of-a-command",
     FAKE_START "def cont(command): os._exit(7)\n" FAKE_LOOP,
     {"exited with status 7 before the VM was running"}},
    {"refuses-a-command",
     FAKE_START "def cont(command): answer(command, 'error', {'desc': 'no such luck'})\n" FAKE_LOOP,
     {"cont: QEMU: no such luck", "a command to QEMU failed"}},
    {"resets-for-ever",
     FAKE_START "start = time.monotonic()\n"
                "def cont(command):\n"
                "    if time.monotonic() > start + 3: os._exit(7)\n"
                "    globals()['state'] = 'running'\n"
                "    event('RESUME')\n"
                "    answer(command)\n"
                "    event('RESET')\n" FAKE_LOOP,
     {"guest was reset", "exited with status 7"}},
    {"exits-at-once",
     "#!/bin/sh\necho 'cannot find the moon' >&2\nexit 3\n",
     {"cannot find the moon", "3"}},
    {"exits-with-success", "#!/bin/sh\nexit 0\n", {"exit"}},
    {"dies-by-a-signal", "#!/bin/sh\nkill -SEGV $$\n", {"signal 11"}},
    {"dies-by-the-sandbox", "#!/bin/sh\nkill -SYS $$\n", {"sandbox"}},
    {"hangs-before-the-greeting", "#!/bin/sh\nexec sleep 600\n", {"start_timeout_s"}},
    {"hangs-after-the-greeting",
     FAKE_PREAMBLE "qmp = channel('qmp')\nqmp.sendall(greeting)\nsignal.pause()\n",
     {"start_timeout_s"}},
    {"ignores-sigterm",
     FAKE_PREAMBLE "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
                   "qmp = channel('qmp')\nqmp.sendall(greeting)\n"
                   "while True: signal.pause()\n",
     {"start_timeout_s", "killed QEMU"}},
    {"talks-rubbish-on-qmp",
     FAKE_PREAMBLE "qmp = channel('qmp')\nqmp.sendall(b'HTTP/1.1 400 Bad Request\\r\\n\\r\\n')\n"
                   "signal.pause()\n",
     {"QMP"}},
    {"floods-qmp-without-a-line-end",
     FAKE_PREAMBLE "qmp = channel('qmp')\n"
                   "try:\n"
                   "    while True: qmp.sendall(b'x' * 65536)\n"
                   "except OSError:\n"
                   "    signal.pause()\n",
     {"QMP"}},
    {"closes-qmp",
     FAKE_PREAMBLE "qmp = channel('qmp')\nqmp.sendall(greeting)\nqmp.close()\nsignal.pause()\n",
     {"closed a connection"}},
};

static void test_fake_qemu(gconstpointer data)
{
    const FakeQemu *fake = data;
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_autofree char *binary = test_sandbox_write_script(sandbox, "qemu", fake->script);
    g_autofree char *argument = g_strdup_printf("qemu.binary=%s", binary);
    const char *args[] = {"--set", argument,
                          "--set", "lifecycle.start_timeout_s=1",
                          "--set", "lifecycle.stop_timeout_s=1",
                          NULL};
    const char *words[] = {fake->words[0], fake->words[1], fake->words[2], NULL};

    assert_fails(sandbox, args, NULL, NULL, 1, words);
    test_sandbox_assert_clean(sandbox, TEST_LOGS_LEFT);
}

/* More than is read from a console at once, right before the end: all of it is in the log. */
static void test_last_words_on_the_console(gconstpointer data)
{
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_autofree char *binary =
        test_sandbox_write_script(sandbox, "qemu",
                                  FAKE_PREAMBLE "serial = channel('serial')\n"
                                                "serial.sendall(b'x' * 100000 + b'last words')\n"
                                                "os._exit(7)\n");
    g_autofree char *argument = g_strdup_printf("qemu.binary=%s", binary);
    g_autofree char *path = test_sandbox_instance_path(sandbox, NAME, "console.log");
    g_autofree char *console = NULL;
    const char *args[] = {"--set", argument, NULL};
    const char *words[] = {"exited with status 7", NULL};

    assert_fails(sandbox, args, NULL, NULL, 1, words);
    g_assert_true(g_file_get_contents(path, &console, NULL, NULL));
    g_assert_cmpuint(strspn(console, "x"), ==, 100000);
    g_assert_cmpstr(console + 100000, ==, "last words");
    test_sandbox_assert_clean(sandbox, TEST_LOGS_LEFT);
}

/* What QEMU itself says about its arguments is shown. */
static void test_qemu_rejects_arguments(gconstpointer data)
{
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    const char *args[] = {"--set", "qemu.extra_args=[\"-device\",\"no-such-device\"]", NULL};
    const char *words[] = {"no-such-device", NULL};

    assert_fails(sandbox, args, NULL, NULL, 1, words);
    test_sandbox_assert_clean(sandbox, TEST_LOGS_LEFT);
}

static void test_runtime_directory_of_another_owner(gconstpointer data)
{
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_autofree char *parent = g_build_filename(sandbox->runtime, "cvd", NULL);
    g_autofree char *dir = test_sandbox_instance_path(sandbox, NAME, "");
    g_autofree char *uid = g_strdup_printf("%d", NOBODY);
    const char *args[] = {NULL};
    const char *words[] = {"cvd/" NAME, uid, NULL};

    if (geteuid() != 0) {
        test_skip("needs root, to give a directory away");
        return;
    }
    g_assert_cmpint(mkdir(parent, 0700), ==, 0);
    g_assert_cmpint(mkdir(dir, 0700), ==, 0);
    g_assert_cmpint(chown(dir, NOBODY, NOBODY), ==, 0);
    assert_fails(sandbox, args, NULL, NULL, 1, words);
    g_assert_cmpint(rmdir(dir), ==, 0);
    test_sandbox_assert_clean(sandbox, TEST_NOTHING_LEFT);
}

static void mount_read_only(gconstpointer data)
{
    test_enter_mount_namespace();
    if (mount("tmpfs", data, "tmpfs", MS_RDONLY, "mode=0700") < 0)
        _exit(124);
}

static void test_read_only_runtime_directory(gconstpointer data)
{
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    const char *args[] = {NULL};
    const char *words[] = {sandbox->runtime, "Read-only", NULL};

    assert_fails(sandbox, args, mount_read_only, sandbox->runtime, 1, words);
    test_sandbox_assert_clean(sandbox, TEST_NOTHING_LEFT);
}

static void assert_recorded(const TestSandbox *sandbox, const char *reason)
{
    g_autofree char *path = test_sandbox_instance_path(sandbox, NAME, "failure.json");
    g_autofree char *record = NULL;

    g_assert_true(g_file_get_contents(path, &record, NULL, NULL));
    if (strstr(record, "\"state\" : \"failed\"") == NULL || strstr(record, reason) == NULL)
        g_error("no failure by '%s' in: %s", reason, record);
}

/* The last failure is on record, however early it came; one of the configuration is none. */
static void test_last_failure_is_on_record(gconstpointer data)
{
    static const struct {
        const char *setting;
        int status;
        const char *said;
        const char *recorded;
    } starts[] = {
        {"sockets.vm=/nosuch/vm.sock", 1, "/nosuch/vm.sock", "/nosuch/vm.sock"},
        {"qemu.cpu=nosuch", 1, "exited with status 1", "exited with status 1"},
        {"sockets.client=/nosuch/client.sock", 1, "/nosuch/client.sock", "/nosuch/client.sock"},
        {"sockets.legacy_client=/nosuch/l.sock", 1, "/nosuch/l.sock", "/nosuch/l.sock"},
        {"qemu.cpu=[]", 2, "qemu.cpu", "/nosuch/l.sock"},
        {"sockets.vm=/nosuch/vm.sock", 1, "/nosuch/vm.sock", "/nosuch/vm.sock"},
    };
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();

    for (guint i = 0; i < G_N_ELEMENTS(starts); i++) {
        const char *args[] = {"--set", starts[i].setting, NULL};
        const char *words[] = {starts[i].said, NULL};
        assert_fails(sandbox, args, NULL, NULL, starts[i].status, words);
        assert_recorded(sandbox, starts[i].recorded);
    }
    test_sandbox_assert_clean(sandbox, TEST_LOGS_LEFT);
}

static void use_long_directory(gconstpointer data)
{
    g_setenv("CVD_RUNTIME_DIR", data, TRUE);
}

static void test_runtime_directory_too_long(gconstpointer data)
{
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_autofree char *component = g_strnfill(100, 'x');
    g_autofree char *dir = g_build_filename(sandbox->runtime, component, NULL);
    const char *args[] = {NULL};
    const char *check[] = {"--check", NULL};
    const char *words[] = {component, "107", NULL};

    g_assert_cmpint(mkdir(dir, 0700), ==, 0);
    assert_fails(sandbox, args, use_long_directory, dir, 2, words);
    assert_fails(sandbox, check, use_long_directory, dir, 2, words);
    g_assert_cmpint(rmdir(dir), ==, 0);
    test_sandbox_assert_clean(sandbox, TEST_NOTHING_LEFT);
}

static void make_instance_dir(const TestSandbox *sandbox)
{
    g_autofree char *dir = test_sandbox_instance_path(sandbox, NAME, "");

    g_assert_cmpint(g_mkdir_with_parents(dir, 0700), ==, 0);
}

static void test_foreign_file_in_runtime_directory(gconstpointer data)
{
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_autofree char *precious = test_sandbox_instance_path(sandbox, NAME, "precious");
    const char *args[] = {NULL};
    const char *words[] = {"precious", NULL};

    make_instance_dir(sandbox);
    g_assert_true(g_file_set_contents(precious, "keep", 4, NULL));
    assert_fails(sandbox, args, NULL, NULL, 1, words);
    g_assert_cmpint(unlink(precious), ==, 0);
    g_autofree char *dir = test_sandbox_instance_path(sandbox, NAME, "");
    if (rmdir(dir) < 0)
        g_error("more than the foreign file was left in %s", dir);
    test_sandbox_assert_clean(sandbox, TEST_NOTHING_LEFT);
}

static void test_symbolic_link_for_runtime_directory(gconstpointer data)
{
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_autofree char *target = test_sandbox_path(sandbox, "target");
    g_autofree char *parent = g_build_filename(sandbox->runtime, "cvd", NULL);
    g_autofree char *link = g_build_filename(parent, NAME, NULL);
    const char *args[] = {NULL};
    const char *words[] = {link, NULL};

    g_assert_cmpint(mkdir(target, 0700), ==, 0);
    g_assert_cmpint(mkdir(parent, 0700), ==, 0);
    g_assert_cmpint(symlink(target, link), ==, 0);
    assert_fails(sandbox, args, NULL, NULL, 1, words);
    g_assert_cmpint(rmdir(target), ==, 0);
    g_assert_cmpint(unlink(link), ==, 0);
    test_sandbox_assert_clean(sandbox, TEST_NOTHING_LEFT);
}

static int listen_at(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    g_strlcpy(address.sun_path, path, sizeof address.sun_path);
    g_assert_cmpint(bind(fd, (struct sockaddr *)&address, sizeof address), ==, 0);
    g_assert_cmpint(listen(fd, 8), ==, 0);
    return fd;
}

static void test_socket_in_use(gconstpointer data)
{
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_autofree char *path = test_sandbox_path(sandbox, "taken");
    g_autofree char *argument = g_strdup_printf("sockets.client=%s", path);
    const char *args[] = {"--set", argument, NULL};
    const char *words[] = {path, NULL};
    cvd_autofd fd = listen_at(path);

    assert_fails(sandbox, args, NULL, NULL, 1, words);
    /* The other server still has its name. */
    cvd_autofd client = test_connect(path);
    cvd_close_fd(&client);
    cvd_close_fd(&fd);
    test_sandbox_assert_clean(sandbox, TEST_LOGS_LEFT);
}

static void test_file_at_socket_path(gconstpointer data)
{
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_autofree char *path = test_sandbox_write(sandbox, "letter", "dear");
    g_autofree char *argument = g_strdup_printf("sockets.client=%s", path);
    const char *args[] = {"--set", argument, NULL};
    const char *words[] = {path, "socket", NULL};
    g_autofree char *content = NULL;

    assert_fails(sandbox, args, NULL, NULL, 1, words);
    g_assert_true(g_file_get_contents(path, &content, NULL, NULL));
    g_assert_cmpstr(content, ==, "dear");
    test_sandbox_assert_clean(sandbox, TEST_LOGS_LEFT);
}

static void limit_files(gconstpointer data)
{
    struct rlimit limit = {.rlim_cur = GPOINTER_TO_UINT(data), .rlim_max = GPOINTER_TO_UINT(data)};

    if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
        _exit(124);
}

static void test_too_few_descriptors(gconstpointer data)
{
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    const char *args[] = {NULL};
    const char *words[] = {"file descriptors", "ulimit", NULL};

    assert_fails(sandbox, args, limit_files, GUINT_TO_POINTER(64), 1, words);
    test_sandbox_assert_clean(sandbox, TEST_LOGS_LEFT);
}

static gboolean has_free_huge_pages(void)
{
    g_autofree char *text = NULL;

    return !g_file_get_contents("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", &text,
                                NULL, NULL) ||
           g_ascii_strtoull(text, NULL, 10) > 0;
}

#define HUGE_LAYOUT                                                                                \
    "layout={\"vsoc_device_regions\":[{\"device_name\":\"a\",\"current_version\":1,"               \
    "\"min_compatible_version\":1,\"region_size\":2097152,"                                        \
    "\"guest_to_host_signal_table\":{\"num_nodes_lg2\":1},"                                        \
    "\"host_to_guest_signal_table\":{\"num_nodes_lg2\":1}}]}"

static void test_no_huge_pages(gconstpointer data)
{
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    const char *args[] = {"--set", HUGE_LAYOUT, "--set", "window.hugepages=2M", NULL};
    const char *words[] = {"huge", "nr_hugepages", NULL};

    if (has_free_huge_pages()) {
        test_skip("this machine has free huge pages, or no 2 MiB ones");
        return;
    }
    assert_fails(sandbox, args, NULL, NULL, 1, words);
    test_sandbox_assert_clean(sandbox, TEST_LOGS_LEFT);
}

static void mount_small_shm(gconstpointer data)
{
    test_enter_mount_namespace();
    if (mount("tmpfs", "/dev/shm", "tmpfs", 0, "size=64k,mode=1777") < 0)
        _exit(124);
}

static void test_full_shm(gconstpointer data)
{
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_autofree char *path = g_strdup_printf("/dev/shm/%s", sandbox->token);
    g_autofree char *argument = g_strdup_printf("window.path=%s", path);
    const char *args[] = {"--set", "window.backing=posix-shm", "--set", argument,
                          "--set", "window.prealloc=true",     "--set", "window.size=4M",
                          NULL};
    const char *words[] = {"/dev/shm", "bytes are needed", "free", NULL};

    assert_fails(sandbox, args, mount_small_shm, NULL, 1, words);
    test_sandbox_assert_clean(sandbox, TEST_LOGS_LEFT);
}

static void fill_stdout(gconstpointer data)
{
    if (dup2(open("/dev/full", O_WRONLY | O_CLOEXEC), STDOUT_FILENO) < 0)
        _exit(124);
}

/* What is asked for must not be lost in silence. @data: what asks for it. */
static void test_stdout_is_full(gconstpointer data)
{
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    const char *args[] = {data, NULL};
    const char *words[] = {"cannot write to stdout", "No space left", NULL};

    assert_fails(sandbox, args, fill_stdout, NULL, 1, words);
    test_sandbox_assert_clean(sandbox, TEST_NOTHING_LEFT);
}

static void test_no_kvm(gconstpointer data)
{
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    const char *args[] = {"--set", "qemu.accel=[\"kvm\"]", NULL};
    const char *words[] = {"/dev/kvm", "tcg", NULL};

    if (access("/dev/kvm", F_OK) == 0) {
        test_skip("this machine has /dev/kvm");
        return;
    }
    assert_fails(sandbox, args, NULL, NULL, 2, words);
    test_sandbox_assert_clean(sandbox, TEST_NOTHING_LEFT);
}

static void bind_device(const char *dev, const char *name)
{
    g_autofree char *source = g_build_filename("/dev", name, NULL);
    g_autofree char *target = g_build_filename(dev, name, NULL);

    if (!g_file_set_contents(target, "", 0, NULL) || mount(source, target, NULL, MS_BIND, NULL) < 0)
        _exit(124);
}

/* Enters a namespace, in which a /dev is built at @dir. Returns: (transfer full): path of its kvm
 */
static char *build_dev(const char *dir)
{
    test_enter_mount_namespace();
    if (mount("tmpfs", dir, "tmpfs", 0, "mode=0755") < 0)
        _exit(124);
    bind_device(dir, "null");
    bind_device(dir, "zero");
    bind_device(dir, "urandom");
    return g_build_filename(dir, "kvm", NULL);
}

/* A /dev/kvm that can be opened, but is a FIFO: neither an open nor a QEMU may wait for it. */
static void fake_kvm(gconstpointer data)
{
    g_autofree char *kvm = build_dev(data);

    if (mkfifo(kvm, 0666) < 0 || mount(data, "/dev", NULL, MS_MOVE, NULL) < 0)
        _exit(124);
}

static void test_kvm_is_a_fifo(gconstpointer data)
{
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_autofree char *dev = test_sandbox_path(sandbox, "dev");
    const char *args[] = {"--set", "qemu.accel=kvm", NULL};
    const char *words[] = {"/dev/kvm", "Inappropriate ioctl", "tcg", NULL};

    g_assert_cmpint(mkdir(dev, 0755), ==, 0);
    assert_fails(sandbox, args, fake_kvm, dev, 2, words);
    test_sandbox_assert_clean(sandbox, TEST_NOTHING_LEFT);
}

/* A /dev with a kvm that only root may open; then no longer root. @data: where to build it. */
static void forbid_kvm(gconstpointer data)
{
    g_autofree char *kvm = build_dev(data);

    if (!g_file_set_contents(kvm, "", 0, NULL) || chmod(kvm, 0600) < 0 ||
        mount(data, "/dev", NULL, MS_MOVE, NULL) < 0 || setgroups(0, NULL) < 0 ||
        setgid(NOBODY) < 0 || setuid(NOBODY) < 0)
        _exit(124);
}

static gboolean may_others_reach(const char *path)
{
    g_autofree char *at = g_strdup(path);
    struct stat st;

    while (strcmp(at, "/") != 0) {
        char *parent = g_path_get_dirname(at);
        g_free(at);
        at = parent;
        g_assert_cmpint(stat(at, &st), ==, 0);
        if ((st.st_mode & S_IXOTH) == 0)
            return FALSE;
    }
    return TRUE;
}

static void test_kvm_without_permission(gconstpointer data)
{
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_autofree char *dev = test_sandbox_path(sandbox, "dev");
    const char *args[] = {"--set", "qemu.accel=[\"kvm\"]", NULL};
    const char *words[] = {"/dev/kvm", "Permission denied", "group", NULL};

    if (geteuid() != 0 || !test_may_mount()) {
        test_skip("needs root, to make a /dev/kvm that others may not open");
        return;
    }
    if (!may_others_reach(g_getenv("CVD_LAUNCH")) ||
        !may_others_reach(g_getenv("CVD_SOURCE_ROOT"))) {
        test_skip("needs a source and build directory that other users can reach");
        return;
    }
    g_assert_cmpint(mkdir(dev, 0755), ==, 0);
    g_assert_cmpint(chmod(sandbox->dir, 0755), ==, 0);
    g_assert_cmpint(chown(sandbox->runtime, NOBODY, NOBODY), ==, 0);
    assert_fails(sandbox, args, forbid_kvm, dev, 2, words);
    test_sandbox_assert_clean(sandbox, TEST_NOTHING_LEFT);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    test_add("/bad-machine/last-failure-is-on-record", NULL, test_last_failure_is_on_record);
    test_add_rows(test_add, "/bad-machine/qemu-", fakes, test_fake_qemu);
    test_add("/bad-machine/last-words-on-the-console", NULL, test_last_words_on_the_console);
    test_add("/bad-machine/qemu-rejects-arguments", NULL, test_qemu_rejects_arguments);
    test_add("/bad-machine/runtime-directory-of-another-owner", NULL,
             test_runtime_directory_of_another_owner);
    test_add_unless("/bad-machine/runtime-directory-read-only", NULL,
                    test_read_only_runtime_directory, test_why_no_mount);
    test_add("/bad-machine/runtime-directory-too-long", NULL, test_runtime_directory_too_long);
    test_add("/bad-machine/foreign-file-in-runtime-directory", NULL,
             test_foreign_file_in_runtime_directory);
    test_add("/bad-machine/symbolic-link-for-runtime-directory", NULL,
             test_symbolic_link_for_runtime_directory);
    test_add("/bad-machine/socket-in-use", NULL, test_socket_in_use);
    test_add("/bad-machine/file-at-socket-path", NULL, test_file_at_socket_path);
    test_add("/bad-machine/too-few-descriptors", NULL, test_too_few_descriptors);
    test_add("/bad-machine/no-huge-pages", NULL, test_no_huge_pages);
    test_add_unless("/bad-machine/full-shm", NULL, test_full_shm, test_why_no_mount);
    test_add("/bad-machine/stdout-is-full/help", "--help", test_stdout_is_full);
    test_add("/bad-machine/stdout-is-full/version", "--version", test_stdout_is_full);
    test_add("/bad-machine/stdout-is-full/layout", "--print-layout=c", test_stdout_is_full);
    test_add("/bad-machine/stdout-is-full/config", "--print-config", test_stdout_is_full);
    test_add("/bad-machine/stdout-is-full/command", "--print-command", test_stdout_is_full);
    test_add("/bad-machine/no-kvm", NULL, test_no_kvm);
    test_add_unless("/bad-machine/kvm-is-a-fifo", NULL, test_kvm_is_a_fifo, test_why_no_mount);
    test_add("/bad-machine/kvm-without-permission", NULL, test_kvm_without_permission);
    return g_test_run();
}
