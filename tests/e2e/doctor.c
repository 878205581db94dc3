/* SPDX-License-Identifier: Apache-2.0 */
/* `--doctor` on this machine and on worse ones, and what a launch says of failures that are known.
 */
#include "base/fd.h"
#include "tests/support/launcher.h"

#include <fcntl.h>
#include <json-glib/json-glib.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <netinet/in.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define FAKE_PROFILES                                                                              \
    "/usr/bin/man (enforce)\n/usr/bin/qemu-system-x86_64 (enforce)\nqemu-system-arm (complain)\n"

/* Its version is neither UTF-8 nor for a terminal. */
#define ODD_QEMU "#!/bin/sh\nprintf 'QEMU emulator version 8.0.0 \\377\\033[31m\\n'\n"

static void examine_as(TestProcessSetup setup, gconstpointer data, const TestSandbox *sandbox,
                       int status, const char *text, const char *setting)
{
    g_autofree char *config = test_source_path("conf/cvd.json");
    const char *argv[] = {test_launcher_path(),
                          "--doctor",
                          "--config",
                          config,
                          "--set",
                          "qemu.accel=tcg", /* so that no KVM that hangs is a problem */
                          setting != NULL ? "--set" : NULL,
                          setting,
                          NULL};
    g_autoptr(TestProcess) doctor = test_process_start(sandbox, argv, setup, data);
    int got = test_process_wait_exit(doctor);

    if (got != status || strstr(doctor->out->str, text) == NULL)
        test_process_fail(doctor, "exit status %d instead of %d, or no '%s'", got, status, text);
    g_assert_false(test_process_has_err(doctor, "accelerator"));
    test_sandbox_assert_clean(sandbox, TEST_NOTHING_LEFT);
}

static void examine(TestProcessSetup setup, const TestSandbox *sandbox, int status,
                    const char *text, const char *setting)
{
    examine_as(setup, NULL, sandbox, status, text, setting);
}

static void enter_directory(gconstpointer data)
{
    if (chdir(data) < 0)
        _exit(124);
}

static void test_machine(gconstpointer data)
{
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();

    examine(NULL, sandbox, 0, "ok: QEMU has the device ivshmem-doorbell", NULL);
    examine(NULL, sandbox, 0, "ok: QEMU's sandbox works", NULL);
    examine(NULL, sandbox, 0, "ok: the runtime directory", NULL);
    examine(NULL, sandbox, 0, "warning: qemu.sandbox is off", "qemu.sandbox=false");
    examine(NULL, sandbox, 1, "problem: qemu.devices: QEMU has no device nosuch",
            "qemu.devices=[{\"driver\":\"nosuch\"}]");
    examine(NULL, sandbox, 1, "problem: qemu.binary: /nosuch/qemu: No such file",
            "qemu.binary=/nosuch/qemu");
    examine(NULL, sandbox, 1, "problem: qemu.kernel: /nosuch/kernel: No such file",
            "qemu.kernel=/nosuch/kernel");
    examine(NULL, sandbox, 0, "ok: QEMU has the machine pc-q35", "qemu.machine=type=pc-q35-7.2");
    examine(NULL, sandbox, 0, "ok: QEMU has the accelerators tcg\n", NULL);
    examine(NULL, sandbox, 0, "; GLib ", NULL);
    examine(NULL, sandbox, 0, "ok: the window needs no room in /dev/shm", NULL);
    examine(NULL, sandbox, 2, "", "qemu.machine=isapc");
    examine(NULL, sandbox, 1, "problem: programs.x.argv[0]: /nosuch/x: No such file",
            "programs.x.argv=[\"/nosuch/x\"]");
}

static gboolean bubblewrap_works(void)
{
    int status = 0;

    return g_spawn_command_line_sync("bwrap --unshare-user --disable-userns --ro-bind / / true",
                                     NULL, NULL, &status, NULL) &&
           status == 0;
}

/* With a bubblewrap that fails, as where a user may not make namespaces, and with the real one. */
static void test_confinement(gconstpointer data)
{
    static const char setting[] = "programs.x={\"argv\":[\"true\"],\"confine\":true}";
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_autofree char *path = g_strdup(g_getenv("PATH"));
    g_autofree char *failing = g_strconcat(sandbox->dir, ":", path, NULL);

    g_free(test_sandbox_write_script(sandbox, "bwrap", "#!/bin/sh\necho no namespaces; exit 1\n"));
    g_setenv("PATH", failing, TRUE);
    examine(NULL, sandbox, 1, "problem: host programs cannot be confined: no namespaces: let this",
            setting);
    g_setenv("PATH", path, TRUE);
    if (bubblewrap_works())
        examine(NULL, sandbox, 0, "ok: host programs can be confined", setting);
    else
        test_skip("bubblewrap does not work here");
}

/* What only QEMU knows is found without a start, too. */
static void test_check(gconstpointer data)
{
    static const struct {
        const char *setting, *problem;
    } rows[] = {
        {"qemu.machine=nosuch,usb=off", "qemu.machine: QEMU has no machine nosuch; choose one of"},
        {"qemu.devices=[{\"driver\":\"virtio-net\"},{\"driver\":\"nosuch\"}]",
         "qemu.devices: QEMU has no device nosuch; choose one of"},
        {"qemu.binary=/bin/cat", "qemu.binary: /bin/cat does not say that it is a QEMU"},
        {"qemu.binary=/bin/bash", "qemu.binary: /bin/bash does not say that it is a QEMU"},
    };
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();

    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(TestProcess) launcher =
            test_launch(sandbox, "check", "--check", "--set", rows[i].setting, NULL);
        test_launcher_assert_exit(launcher, 2);
        test_launcher_assert_err(launcher, rows[i].problem);
        g_assert_null(strstr(launcher->err->str, "virtio-net;"));
        test_sandbox_assert_clean(sandbox, TEST_NOTHING_LEFT);
    }
}

static void test_check_all_at_once(gconstpointer data)
{
    static const char *const problems[] = {"qemu.machine: QEMU has no machine q36",
                                           "qemu.devices: QEMU has no device foo",
                                           "qemu.blockdevs: /nosuch/disk",
                                           "qemu.kernel: /nosuch",
                                           "limits.clients: found -1",
                                           "no regions",
                                           "6 problems"};
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_autoptr(TestProcess) launcher =
        test_launch(sandbox, "check", "--check", "--set", "qemu.machine=q36", "--set",
                    "qemu.devices=[{\"driver\":\"foo\"}]", "--set",
                    "qemu.blockdevs=[{\"driver\":\"file\",\"filename\":\"/nosuch/disk\"}]", "--set",
                    "qemu.kernel=/nosuch", "--set", "limits.clients=-1", "--set",
                    "layout.vsoc_device_regions=[]", NULL);

    test_launcher_assert_exit(launcher, 2);
    for (gsize i = 0; i < G_N_ELEMENTS(problems); i++)
        test_launcher_assert_err(launcher, problems[i]);
}

/* Pages may be free by the time of the start. */
static void test_check_huge_pages(gconstpointer data)
{
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_autofree char *n_free = NULL;

    if (g_file_get_contents("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", &n_free,
                            NULL, NULL) &&
        strcmp(n_free, "0\n") != 0) {
        test_skip("there are free huge pages");
        return;
    }
    g_autoptr(TestProcess) launcher =
        test_launch(sandbox, "check", "--check", "--set", "window.hugepages=2M", NULL);
    test_launcher_assert_exit(launcher, 0);
    test_launcher_assert_err(launcher, "huge pages of 2M, 0 are free: write more into");
}

static void hide_proc(gconstpointer data)
{
    test_enter_mount_namespace();
    if (mount("tmpfs", "/proc", "tmpfs", 0, NULL) < 0)
        _exit(124);
}

static void test_no_proc(gconstpointer data)
{
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();

    examine(hide_proc, sandbox, 1, "problem: /proc is not there", "qemu.kernel=null");
    examine(hide_proc, sandbox, 1, "without /proc the built-in guest is not found",
            "qemu.kernel=builtin");
}

/* Starts the launcher where it finds a configuration without --config: a copy, as the source tree
 * may be another user's, whose files are not taken. */
static TestProcess *run_beside_conf(const TestSandbox *sandbox, const char *const *argv)
{
    g_autofree char *conf = test_source_path("conf");
    const char *copy[] = {"cp", "-r", conf, sandbox->dir, NULL};

    g_assert_true(g_spawn_sync(NULL, (char **)copy, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL,
                               NULL, NULL, NULL));
    return test_process_start(sandbox, argv, enter_directory, sandbox->dir);
}

/* The file that is there without --config counts, too: it is not as if there were none. */
static void test_default_config(gconstpointer data)
{
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    const char *argv[] = {test_launcher_path(), "--doctor", "--set", "qemu.machine=microvm", NULL};
    g_autoptr(TestProcess) doctor = run_beside_conf(sandbox, argv);

    test_launcher_assert_exit(doctor, 2);
    test_launcher_assert_err(doctor, "machine: microvm has no PCI");
}

/* What stands in for the file that --name names is no surprise. */
static void test_misspelt_name(gconstpointer data)
{
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    const char *argv[] = {test_launcher_path(), "--check", "--name", "phoen", "--set",
                          "qemu.accel=tcg",     NULL};
    g_autoptr(TestProcess) check = run_beside_conf(sandbox, argv);

    test_launcher_assert_exit(check, 0);
    test_launcher_assert_err(check, "phoen: configuration ");
    test_launcher_assert_err(check, "cvd.json (there is no phoen.json), accelerator tcg");
}

static void leave_for_nowhere(gconstpointer directory)
{
    enter_directory(directory);
    g_setenv("XDG_CONFIG_HOME", directory, TRUE);
}

/* Of a window and a guest that nobody has described nothing is said. */
static void test_no_config(gconstpointer data)
{
    static const char *const unknown[] = {"window", "guest's memory", "huge pages"};
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    const char *argv[] = {test_launcher_path(), "--doctor", NULL};
    g_autoptr(TestProcess) doctor =
        test_process_start(sandbox, argv, leave_for_nowhere, sandbox->dir);

    test_process_wait_exit(doctor); /* it is 1 where KVM hangs */
    if (strstr(doctor->out->str, "warning: no configuration was found") == NULL) {
        g_test_skip("a configuration is installed");
        return;
    }
    for (gsize i = 0; i < G_N_ELEMENTS(unknown); i++)
        g_assert_null(strstr(doctor->out->str, unknown[i]));
}

static void examine_with(const TestSandbox *sandbox, const char *script, const char *text)
{
    g_autofree char *binary = test_sandbox_write_script(sandbox, "qemu", script);
    g_autofree char *setting = g_strdup_printf("qemu.binary=%s", binary);

    examine(NULL, sandbox, 1, text, setting);
}

/* What can be said depends on the machine; a KVM that hangs costs its time limit, and says so. */
static void test_kvm(gconstpointer data)
{
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_autofree char *config = test_source_path("conf/cvd.json");
    const char *argv[] = {test_launcher_path(), "--doctor", "--config", config, NULL};
    g_autoptr(TestProcess) doctor = test_process_start(sandbox, argv, NULL, NULL);
    int status = test_process_wait_exit(doctor);
    const char *text = doctor->out->str;

    if (access("/dev/kvm", R_OK | W_OK) < 0)
        g_assert_nonnull(strstr(text, "warning: /dev/kvm "));
    else if (strstr(text, "problem: a guest hangs under KVM: it did not run to its end") != NULL)
        g_assert_cmpint(status, ==, 1);
    else if (status != 0)
        g_assert_nonnull(strstr(text, "under KVM"));
    else if (strstr(text, "warning: a guest runs under KVM, but took ") == NULL)
        g_assert_nonnull(strstr(text, "ok: a guest runs under KVM"));
    test_sandbox_assert_clean(sandbox, TEST_NOTHING_LEFT);
}

/* One that hangs costs its time limit and is not left behind. */
static void test_bad_qemu(gconstpointer data)
{
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();

    examine_with(sandbox, "#!/bin/sh\necho Hello\n", "problem: ");
    examine_with(sandbox, "#!/bin/sh\necho QEMU emulator version 6.1.9\n", "has version 6.1");
    examine_with(sandbox, "#!/bin/sh\necho QEMU emulator version 6.2.0\n", "has version 6.2.0\n");
    examine_with(sandbox, "#!/bin/sh\necho QEMU emulator version 6.2.0\n",
                 "no device ivshmem-doorbell");
    examine_with(sandbox,
                 "#!/bin/sh\ncase $2 in \"\") echo QEMU emulator version 8.0.0;; "
                 "help) echo 'name \"ivshmem-doorbell\"';; *) exec sleep 1000;; esac\n",
                 "problem: QEMU does not run in its sandbox");
    examine_with(sandbox,
                 "#!/bin/sh\ncase $1 in --version) echo QEMU emulator version 8.0.0;; "
                 "-accel) echo Accelerators supported in QEMU binary:; echo kvm;; esac\n",
                 "problem: qemu.accel: QEMU has none of these accelerators");
    examine_with(sandbox,
                 "#!/bin/sh\ncase $1 in --version) echo QEMU emulator version 8.0.0;; "
                 "-device) echo \"Type 'x' is missing its parent 'y'\"; kill -ABRT $$;; esac\n",
                 "-device help fails: Type 'x' is missing its parent 'y'; do QEMU's packages");
    examine_with(sandbox, ODD_QEMU, "has version 8.0.0 \\xff\\x1b[31m\n");
}

/* One for arm64 has no ISA bus, and the other pvpanic. */
static void test_other_architecture(gconstpointer data)
{
    static const char script[] =
        "#!/bin/sh\ncase $1 in --version) echo QEMU emulator version 8.0.0;; -device) "
        "printf 'name \"%s\"\\n' ivshmem-doorbell pvpanic-pci i6300esb;; *) cat;; esac\n";
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_autofree char *binary = test_sandbox_write_script(sandbox, "qemu-system-aarch64", script);
    g_autofree char *config = test_source_path("conf/cvd.json");
    g_autofree char *setting = g_strdup_printf("qemu.binary=%s", binary);
    const char *argv[] = {
        test_launcher_path(), "--doctor", "--config",       config, "--set", setting, "--set",
        "qemu.machine=virt",  "--set",    "qemu.accel=tcg", NULL};
    g_autoptr(TestProcess) doctor = test_process_start(sandbox, argv, NULL, NULL);

    test_launcher_assert_exit(doctor, 1);
    g_assert_nonnull(strstr(doctor->out->str, "ok: QEMU has the device pvpanic-pci\n"));
    g_assert_null(strstr(doctor->out->str, "pvpanic;"));
    g_assert_nonnull(strstr(doctor->out->str, "cvd-guest.elf is a kernel for x86-64, which "));
}

static void limit_descriptors(gconstpointer data)
{
    const struct rlimit limit = {70, 70};

    setrlimit(RLIMIT_NOFILE, &limit);
}

static void limit_clients(gconstpointer data)
{
    const struct rlimit limit = {500, 500};

    setrlimit(RLIMIT_NOFILE, &limit);
}

static void test_descriptors(gconstpointer data)
{
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();

    examine(limit_descriptors, sandbox, 1, "problem: 5 regions need 74 descriptors", NULL);
    examine(limit_clients, sandbox, 0,
            "warning: limits.clients is 1024, and the hard RLIMIT_NOFILE of 500 has room for 426",
            NULL);
}

/* As another kernel, or a narrow container, would show it; what both versions of control groups
 * have. */
static void fake_sys(gconstpointer data)
{
    static const char *const bytes[] = {"sys/fs/cgroup/memory.max",
                                        "sys/fs/cgroup/memory/memory.limit_in_bytes"};
    static const char *const used[] = {"sys/fs/cgroup/memory.current",
                                       "sys/fs/cgroup/memory/memory.usage_in_bytes"};

    test_enter_mount_namespace();
    if (mount("tmpfs", "/sys", "tmpfs", 0, NULL) < 0 ||
        mount("tmpfs", "/dev/shm", "tmpfs", 0, "size=64k") < 0 || chdir("/") < 0 ||
        g_mkdir_with_parents("sys/fs/cgroup/memory", 0755) < 0 ||
        g_mkdir_with_parents("sys/module/apparmor/parameters", 0755) < 0 ||
        g_mkdir_with_parents("sys/kernel/security/apparmor", 0755) < 0 ||
        !g_file_set_contents("sys/module/apparmor/parameters/enabled", "Y\n", -1, NULL) ||
        !g_file_set_contents("sys/kernel/security/apparmor/profiles", FAKE_PROFILES, -1, NULL))
        _exit(124);
    for (guint i = 0; i < G_N_ELEMENTS(bytes); i++)
        if (!g_file_set_contents(bytes[i], data, -1, NULL) ||
            !g_file_set_contents(used[i], "0\n", -1, NULL))
            _exit(124);
}

static void test_narrow(gconstpointer data)
{
    static const struct {
        const char *limit, *setting, *text;
        int status;
    } rows[] = {
        {"67108864\n", NULL,
         "warning: the window (2 MiB) and the guest (128 MiB) may need more than the 64 MiB that",
         0},
        {"1048576\n", NULL, "problem: the window (2 MiB) and the guest (128 MiB) may need", 1},
        {"1048576\n", "window.prealloc=false", "warning: the window (2 MiB)", 0},
        {"max\n", NULL, "ok: there is memory for the window and the guest", 0},
        {"max\n", "qemu.memory=16000G", "may need more than this machine's", 0},
        {"max\n", "window={\"backing\":\"posix-shm\",\"path\":\"/dev/shm/x\"}",
         "problem: window.path: the window has 2048 KiB, and 64 KiB are free in /dev/shm: free", 1},
        {"max\n", "window={\"backing\":\"posix-shm\",\"path\":\"/dev/shm/x\",\"prealloc\":false}",
         "warning: window.path: the window has 2048 KiB", 0},
        {"max\n", "window={\"backing\":\"posix-shm\",\"path\":\"/nosuch/x\"}",
         "problem: window.path: /nosuch: No such file", 1},
        {"max\n", NULL,
         "warning: AppArmor confines QEMU by the profile /usr/bin/qemu-system-x86_64 (enforce)", 0},
    };
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();

    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++)
        examine_as(fake_sys, rows[i].limit, sandbox, rows[i].status, rows[i].text, rows[i].setting);
}

/* The same findings, with their checks. */
static void test_json(gconstpointer data)
{
    static const char *const versions[] = {
        "cvd_launch",           "layout", "glib", "glib_built_with", "json_glib",
        "json_glib_built_with", "qemu"};
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_autofree char *config = test_source_path("conf/cvd.json");
    const char *argv[] = {test_launcher_path(),
                          "--doctor",
                          "--json",
                          "--config",
                          config,
                          "--set",
                          "qemu.accel=tcg",
                          "--set",
                          "qemu.devices=[{\"driver\":\"nosuch\"}]",
                          NULL};
    g_autoptr(TestProcess) doctor = test_process_start(sandbox, argv, NULL, NULL);
    g_autoptr(GError) error = NULL;

    test_launcher_assert_exit(doctor, 1);
    g_autoptr(JsonNode) root = json_from_string(doctor->out->str, &error);
    g_assert_no_error(error);
    JsonObject *object = json_node_get_object(root);
    g_assert_cmpstr(json_object_get_string_member(object, "verdict"), ==, "problem");
    for (guint i = 0; i < G_N_ELEMENTS(versions); i++)
        g_assert_nonnull(json_object_get_string_member(
            json_object_get_object_member(object, "versions"), versions[i]));
    JsonArray *checks = json_object_get_array_member(object, "checks");
    guint n_problems = 0;
    for (guint i = 0; i < json_array_get_length(checks); i++) {
        JsonObject *check = json_array_get_object_element(checks, i);
        if (strcmp(json_object_get_string_member(check, "verdict"), "problem") != 0)
            continue;
        n_problems++;
        g_assert_cmpstr(json_object_get_string_member(check, "check"), ==, "devices");
        g_assert_nonnull(strstr(json_object_get_string_member(check, "text"), "device nosuch"));
    }
    g_assert_cmpuint(n_problems, ==, 1);
    g_assert_cmpuint(json_array_get_length(checks), >, 10);
}

static void test_json_of_odd_bytes(gconstpointer data)
{
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_autofree char *binary = test_sandbox_write_script(sandbox, "qemu", ODD_QEMU);
    g_autofree char *setting = g_strdup_printf("qemu.binary=%s", binary);
    g_autofree char *config = test_source_path("conf/cvd.json");
    const char *argv[] = {
        test_launcher_path(), "--doctor", "--json", "--config", config, "--set", setting, "--set",
        "qemu.accel=tcg",     NULL};
    g_autoptr(TestProcess) doctor = test_process_start(sandbox, argv, NULL, NULL);

    test_launcher_assert_exit(doctor, 1);
    g_assert_true(g_utf8_validate(doctor->out->str, -1, NULL));
    g_assert_nonnull(strstr(doctor->out->str, "8.0.0 \uFFFD\\u001b[31m"));
}

/* ---- Known failures ---- */

static void fails(const char *setting, const char *said, const char *advice)
{
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_autoptr(TestProcess) launcher = test_launch(sandbox, "fails", "--set", setting, NULL);

    test_launcher_assert_exit(launcher, 1);
    test_launcher_assert_err(launcher, said);
    test_launcher_assert_err(launcher, "what to do: ");
    test_launcher_assert_err(launcher, advice);
    test_sandbox_assert_clean(sandbox, TEST_LOGS_LEFT);
}

static void test_explained(gconstpointer data)
{
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_autofree char *no_kernel = test_sandbox_write(sandbox, "kernel", "no kernel at all\n");
    g_autofree char *kernel = g_strdup_printf("qemu.kernel=%s", no_kernel);

    fails("qemu.devices=[{\"driver\":\"nosuch\"}]", "is not a valid device model name",
          "compare qemu.devices");
    fails("qemu.devices=[{\"driver\":\"e1000\",\"foo\":1}]", "Property 'e1000.foo' not found",
          "-device NAME,help");
    fails("qemu.devices=[{\"driver\":\"e1000\",\"addr\":\"0x10\"}]", "PCI: slot 16",
          "ivshmem.address");
    fails("qemu.machine=nosuch", "unsupported machine type", "compare qemu.machine");
    fails("qemu.cpu=nosuch", "unable to find CPU model", "compare qemu.cpu");
    fails("qemu.netdevs=[{\"type\":\"nosuch\",\"id\":\"n\"}]", "does not accept value",
          "no such network back end");
    fails("qemu.objects=[{\"qom-type\":\"nosuch\",\"id\":\"o\"}]", "does not accept value",
          "no such object");
    fails("qemu.extra_args=[\"-drive\",\"file=/nosuch\"]", "No such file", "does not find a file");
    fails("qemu.devices=[{\"driver\":\"virtio-net-pci\",\"romfile\":\"nosuch.rom\"}]",
          "failed to find romfile", "option ROM");
    fails("qemu.extra_args=[\"-nosuch\"]", "invalid option", "qemu.extra_args");
    fails("qemu.binary=/bin/cat", "exited with status 1", "qemu.binary is no QEMU");
    fails("qemu.binary=/bin/true", "exited with status 0", "qemu.binary is no QEMU");
    fails(kernel, "invalid kernel header", "check qemu.kernel");
}

#define ADVICE  "--set qemu.sandbox=on,spawn=allow"
#define WARNING "makes QEMU start a program, which its sandbox forbids"

#define TAP "qemu.netdevs=[{\"type\":\"tap\",\"id\":\"n\","

static gboolean may_make_tap(void)
{
    struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI};
    cvd_autofd fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

    return fd >= 0 && ioctl(fd, TUNSETIFF, &request) == 0;
}

/* Older versions of QEMU are killed for it, newer ones told that they may not. */
static void assert_killed(const TestProcess *launcher)
{
    test_launcher_assert_err(launcher, "was killed by its sandbox (signal 31, qemu.sandbox)");
    test_launcher_assert_err(launcher, ADVICE);
}

/* What the sandbox will not let pass is told before the start, and after it. */
static void test_program_at_the_start(gconstpointer data)
{
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    const char *setting = data;

    if (g_str_has_prefix(setting, TAP) && !may_make_tap()) {
        test_skip("cannot make a tap here");
        return;
    }
    g_autoptr(TestProcess) check =
        test_launch(sandbox, "programs", "--check", "--set", setting, NULL);
    test_launcher_assert_exit(check, 0);
    test_launcher_assert_err(check, WARNING);
    g_autoptr(TestProcess) launcher = test_launch(sandbox, "programs", "--set", setting, NULL);
    test_launcher_assert_exit(launcher, 1);
    if (!test_process_has_err(launcher, "Operation not permitted"))
        assert_killed(launcher);
    test_launcher_assert_err(launcher, "what to do: ");
    test_launcher_assert_err(launcher, ADVICE);
    test_sandbox_assert_clean(sandbox, TEST_LOGS_LEFT);
}

static void test_program_at_the_stop(gconstpointer data)
{
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    const char *setting = TAP "\"script\":\"no\",\"downscript\":\"/bin/true\"}]";

    if (!may_make_tap()) {
        test_skip("cannot make a tap here");
        return;
    }
    g_autoptr(TestProcess) launcher =
        test_launch(sandbox, "programs", "--set", "lifecycle.stop=quit", "--set", setting, NULL);
    test_launcher_wait_running(launcher);
    test_launcher_assert_err(launcher, WARNING);
    test_process_signal(launcher, SIGTERM);
    test_launcher_assert_exit(launcher, 0);
    if (!test_process_has_err(launcher, ": stopped\n"))
        assert_killed(launcher);
    test_sandbox_assert_clean(sandbox, TEST_NOTHING_LEFT);
}

static void test_port_in_use(gconstpointer data)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    g_assert_no_errno(bind(fd, (struct sockaddr *)&address, size));
    g_assert_no_errno(listen(fd, 1));
    g_assert_no_errno(getsockname(fd, (struct sockaddr *)&address, &size));
    g_autofree char *setting =
        g_strdup_printf("qemu.extra_args=[\"-chardev\",\"socket,id=c,host=127.0.0.1,port=%u,"
                        "server=on,wait=off\"]",
                        ntohs(address.sin_port));
    fails(setting, "Address already in use", "has that address");
    close(fd);
}

static void test_locked_image(gconstpointer data)
{
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_autofree char *zeros = g_strnfill(65536, '0');
    g_autofree char *image = test_sandbox_write(sandbox, "disk.img", zeros);
    g_autofree char *blockdevs =
        g_strdup_printf("qemu.blockdevs=[{\"driver\":\"raw\",\"node-name\":\"d\",\"file\":{"
                        "\"driver\":\"file\",\"filename\":\"%s\"}}]",
                        image);
    const char *device = "qemu.devices=[{\"driver\":\"virtio-blk-pci\",\"drive\":\"d\"}]";
    g_autoptr(TestProcess) first =
        test_launch(sandbox, "first", "--set", blockdevs, "--set", device, NULL);
    test_launcher_wait_running(first);
    g_autoptr(TestProcess) second =
        test_launch(sandbox, "second", "--set", blockdevs, "--set", device, NULL);

    test_launcher_assert_exit(second, 1);
    test_launcher_assert_err(second, "the disk image is in use");
    test_launcher_stop(first, SIGINT);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    test_add("/doctor/machine", NULL, test_machine);
    test_add("/doctor/confinement", NULL, test_confinement);
    test_add("/doctor/check", NULL, test_check);
    test_add("/doctor/check-all-at-once", NULL, test_check_all_at_once);
    test_add("/doctor/check-huge-pages", NULL, test_check_huge_pages);
    test_add_unless("/doctor/no-proc", NULL, test_no_proc, test_why_no_mount);
    test_add("/doctor/default-config", NULL, test_default_config);
    test_add("/doctor/misspelt-name", NULL, test_misspelt_name);
    test_add("/doctor/no-config", NULL, test_no_config);
    test_add("/doctor/other-architecture", NULL, test_other_architecture);
    test_add("/doctor/kvm", NULL, test_kvm);
    test_add("/doctor/bad-qemu", NULL, test_bad_qemu);
    test_add("/doctor/descriptors", NULL, test_descriptors);
    test_add_unless("/doctor/narrow", NULL, test_narrow, test_why_no_mount);
    test_add("/doctor/json", NULL, test_json);
    test_add("/doctor/json-of-odd-bytes", NULL, test_json_of_odd_bytes);
    test_add("/doctor/explained", NULL, test_explained);
    test_add("/doctor/program/bridge", "qemu.netdevs=[{\"type\":\"bridge\",\"id\":\"n\"}]",
             test_program_at_the_start);
    test_add("/doctor/program/bridge-argument", "qemu.extra_args=[\"-netdev\",\"bridge,id=n\"]",
             test_program_at_the_start);
    test_add("/doctor/program/incoming", "qemu.extra_args=[\"-incoming\",\"exec:cat\"]",
             test_program_at_the_start);
    test_add("/doctor/program/tap-script", TAP "\"script\":\"/bin/true\"}]",
             test_program_at_the_start);
    test_add("/doctor/program/tap-downscript", NULL, test_program_at_the_stop);
    test_add("/doctor/port-in-use", NULL, test_port_in_use);
    test_add("/doctor/locked-image", NULL, test_locked_image);
    return g_test_run();
}
