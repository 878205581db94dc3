/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `cvd-ctl snapshot` with a real QEMU and the built-in guest: what it takes, and that the machine
 * goes on or ends as it should, whatever comes in between. A snapshot is held in the middle by a
 * QEMU that waits before it is through (`pause-before-switchover`), or by gate-shim.c; and by
 * late-shim.c at the very end.
 */
#include "base/snapshot.h"
#include "base/fd.h"
#include "base/snapshot-writer.h"
#include "tests/support/ctl.h"
#include "tests/support/instance.h"
#include "tests/support/region.h"
#include "tests/support/rows.h"
#include "tests/support/witness.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define NAME     "saved"
#define RAM_SIZE (128 << 20)

/* ---- What all of them need ---- */

static TestInstance *boot_with(const char *const *args, TestProcessSetup setup, gconstpointer data)
{
    TestInstance *f = test_instance_new(NAME);
    g_autoptr(GPtrArray) all = g_ptr_array_new();

    g_ptr_array_add(all, (char *)"--set=ivshmem.migratable=true");
    for (guint i = 0; args != NULL && args[i] != NULL; i++)
        g_ptr_array_add(all, (char *)args[i]);
    g_ptr_array_add(all, NULL);
    f->launcher = test_launch_with(f->sandbox, NAME, (const char *const *)all->pdata, setup, data);
    test_instance_wait_guest(f, 1);
    return f;
}

#define BOOT(...) boot_with((const char *const[]){__VA_ARGS__ __VA_OPT__(, ) NULL}, NULL, NULL)

static TestProcess *ctl(const TestInstance *f, const char *verb, const char *first,
                        const char *second)
{
    return test_ctl(f->sandbox, "--name=" NAME, verb, first, second, NULL);
}

/* The verb is carried out. */
static void done(const TestInstance *f, const char *verb, const char *first, const char *second)
{
    test_ctl_done(ctl(f, verb, first, second));
}

static void assert_fails(TestProcess *take_ctl, int status, const char *text)
{
    g_autoptr(TestProcess) process = take_ctl;

    if (test_process_wait_exit(process) != status || strstr(process->err->str, text) == NULL)
        test_process_fail(process, "it does not say \"%s\"", text);
}

static void assert_refused(TestProcess *take_ctl, const char *text)
{
    assert_fails(take_ctl, 1, text);
}

static void assert_usage(TestProcess *take_ctl, const char *text)
{
    assert_fails(take_ctl, 2, text);
}

static char *snapshot_path(const TestInstance *f, const char *name)
{
    return g_build_filename(f->sandbox->dir, "snapshots", name, NULL);
}

static int compare(gconstpointer a, gconstpointer b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Returns: (transfer full): the names in the directory of snapshots, with spaces */
static char *list_snapshots(const TestInstance *f)
{
    g_autofree char *path = test_sandbox_path(f->sandbox, "snapshots");
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    const char *name;

    while (dir != NULL && (name = g_dir_read_name(dir)) != NULL)
        g_ptr_array_add(names, g_strdup(name));
    g_ptr_array_sort(names, compare);
    g_ptr_array_add(names, NULL);
    return g_strjoinv(" ", (char **)names->pdata);
}

static void assert_snapshots(const TestInstance *f, const char *expected)
{
    g_autofree char *names = list_snapshots(f);

    g_assert_cmpstr(names, ==, expected);
}

static CvdSnapshot *open_snapshot(const char *path)
{
    g_autoptr(GError) error = NULL;
    CvdSnapshot *snapshot = cvd_snapshot_open(path, &error);

    g_assert_no_error(error);
    cvd_snapshot_verify(snapshot, TRUE, NULL, NULL, NULL, &error);
    g_assert_no_error(error);
    return snapshot;
}

static void read_file(const CvdSnapshot *snapshot, const char *file, gsize offset, void *bytes,
                      gsize size)
{
    g_autoptr(GError) error = NULL;
    cvd_autofd fd = cvd_snapshot_open_file(snapshot, file, &error);

    g_assert_no_error(error);
    g_assert_cmpint(pread(fd, bytes, size, (off_t)offset), ==, (gssize)size);
}

static void assert_goes_on(TestInstance *f)
{
    test_ping(f->client_socket, "sensors");
    test_instance_stop(f, SIGINT);
}

/* ---- A snapshot ---- */

static void assert_content(const char *path, gsize offset, guint32 word)
{
    g_autoptr(CvdSnapshot) snapshot = open_snapshot(path);
    const CvdSnapshotInfo *info = cvd_snapshot_get_info(snapshot);
    guint32 saved;
    char magic[4];

    g_assert_cmpstr(info->name, ==, "one");
    g_assert_cmpstr(info->instance, ==, NAME);
    g_assert_cmpstr(info->accel, ==, "tcg");
    g_assert_true(g_str_has_prefix(info->machine, "pc-q35-"));
    g_assert_cmpuint(info->memory_bytes, ==, RAM_SIZE);
    g_assert_true(info->has_ram);
    g_assert_cmpuint(info->disks->len, ==, 0);
    read_file(snapshot, CVD_SNAPSHOT_STATE, 0, magic, sizeof magic);
    g_assert_cmpmem(magic, sizeof magic, "QEVM", 4);
    read_file(snapshot, CVD_SNAPSHOT_WINDOW, offset, &saved, sizeof saved);
    g_assert_cmpuint(saved, ==, word);
    g_assert_cmpuint(cvd_snapshot_get_size(snapshot, CVD_SNAPSHOT_RAM), ==, RAM_SIZE);
}

/* It is a configuration as it stands there, and has what was said on the command line. */
static void assert_config(const TestInstance *f, const char *path)
{
    g_autofree char *config = g_build_filename(path, CVD_SNAPSHOT_CONFIG, NULL);
    g_autoptr(TestProcess) print = test_launch_config(f->sandbox, config, "--print-config", NULL);

    g_assert_cmpint(test_process_wait_exit(print), ==, 0);
    g_assert_nonnull(strstr(print->out->str, "\"migratable\" : true"));
    g_assert_nonnull(strstr(print->out->str, "\"device_name\" : \"sensors\""));
}

/* The client's connection ends, and what it has written before is in the snapshot. */
static void test_keeps_running(gconstpointer data)
{
    g_autoptr(TestInstance) f = BOOT();
    g_autofree char *path = snapshot_path(f, "one");
    g_autoptr(TestRegion) region = test_region_attach(f->client_socket, "sensors");
    gsize offset = region->begin + region->data_offset + 64;

    *test_region_word(region, region->data_offset + 64) = 0x12345678;
    g_autofree char *out = test_ctl_finish(ctl(f, "snapshot", "--keep-running", "one"), 0);
    test_region_wait_closed(region);
    g_assert_true(g_str_has_prefix(out, path));
    assert_content(path, offset, 0x12345678);
    assert_config(f, path);
    assert_snapshots(f, "one");
    test_process_wait_err(f->launcher, NAME ": paused: a snapshot is taken", 1);
    test_process_wait_err(f->launcher, NAME ": running again", 1);
    test_process_wait_err(f->launcher, "snapshot one is complete: ", 1);
    assert_goes_on(f);
}

static void test_stops(gconstpointer data)
{
    g_autoptr(TestInstance) f = BOOT("--set=lifecycle.on_crash=restart");
    g_autofree char *path = snapshot_path(f, "one");

    test_ping(f->client_socket, "sensors");
    done(f, "snapshot", "one", NULL);
    test_instance_ended(f, 0, TEST_NOTHING_LEFT);
    test_launcher_assert_err(f->launcher, "snapshot one is complete: ");
    test_launcher_assert_err(f->launcher, NAME ": stopped");
    g_assert_false(test_process_has_err(f->launcher, "running again"));
    cvd_snapshot_free(open_snapshot(path));
}

static void test_path(gconstpointer data)
{
    g_autoptr(TestInstance) f = BOOT();
    g_autofree char *path = test_sandbox_path(f->sandbox, "elsewhere");
    const char *const argv[] = {g_getenv("CVD_CTL"), "--name=" NAME, "--json", "snapshot",
                                "--keep-running",    "./elsewhere",  NULL};
    g_autofree char *cwd = g_get_current_dir();

    g_assert_no_errno(chdir(f->sandbox->dir));
    g_autofree char *out = test_ctl_finish(test_process_start(f->sandbox, argv, NULL, NULL), 0);
    g_assert_no_errno(chdir(cwd));
    g_autofree char *expected = g_strdup_printf("{\"path\":\"%s\",\"bytes\":", path);
    g_assert_true(g_str_has_prefix(out, expected));
    cvd_snapshot_free(open_snapshot(path));
    assert_goes_on(f);
}

static void set_place(gconstpointer data)
{
    g_setenv("CVD_SNAPSHOT_DIR", data, TRUE);
}

static TestProcess *snapshot_at(const TestInstance *f, const char *place)
{
    const char *const argv[] = {g_getenv("CVD_CTL"), "--name=" NAME, "snapshot", "one", NULL};

    return test_process_start(f->sandbox, argv, set_place, place);
}

/* Not that of the launcher, so that all verbs find it. The directory is made. */
static void test_place(gconstpointer data)
{
    g_autoptr(TestInstance) f = BOOT();
    g_autofree char *place = test_sandbox_path(f->sandbox, "a/place");
    g_autofree char *path = g_build_filename(place, "one", NULL);

    assert_usage(snapshot_at(f, "a/place"), "a/place is not an absolute path");
    g_autofree char *out = test_ctl_finish(snapshot_at(f, place), 0);
    g_assert_true(g_str_has_prefix(out, path));
    test_instance_ended(f, 0, TEST_NOTHING_LEFT);
    cvd_snapshot_free(open_snapshot(path));
    assert_snapshots(f, "");
}

#define OTHER_UID 65534

static void become_other(gconstpointer data)
{
    if (setgroups(0, NULL) < 0 || setresgid(OTHER_UID, OTHER_UID, OTHER_UID) < 0 ||
        setresuid(OTHER_UID, OTHER_UID, OTHER_UID) < 0)
        _exit(124);
}

/* Root's cvd-ctl, which finds that user's machines. @data: the sandbox's runtime directory */
static void see_other(gconstpointer data)
{
    g_autofree char *place = g_strdup_printf("/run/user/%d", OTHER_UID);

    test_enter_mount_namespace();
    if (mount("tmpfs", "/run", "tmpfs", 0, NULL) < 0 || g_mkdir_with_parents(place, 0755) < 0 ||
        mount(data, place, NULL, MS_BIND, NULL) < 0)
        _exit(126);
    g_unsetenv("CVD_RUNTIME_DIR");
    g_unsetenv("XDG_RUNTIME_DIR");
    g_unsetenv("CVD_SNAPSHOT_DIR");
}

static char *why_not_root(void)
{
    return geteuid() != 0 ? g_strdup("needs root") : test_why_no_mount();
}

/* To root the launcher says where its user has snapshots. */
static void test_of_another_user(gconstpointer data)
{
    g_autoptr(TestInstance) f = test_instance_new(NAME);
    const char *const args[] = {"--set=ivshmem.migratable=true", NULL};
    g_autofree char *path = snapshot_path(f, "one"), *place = snapshot_path(f, "");
    const char *const argv[] = {g_getenv("CVD_CTL"), "snapshot", "one", NULL};

    g_assert_no_errno(chmod(f->sandbox->dir, 0755));
    g_assert_no_errno(mkdir(place, 0700));
    g_assert_no_errno(chown(place, OTHER_UID, OTHER_UID));
    g_assert_no_errno(chown(f->sandbox->runtime, OTHER_UID, OTHER_UID));
    f->launcher = test_launch_with(f->sandbox, NAME, args, become_other, NULL);
    test_instance_wait_guest(f, 1);
    g_autofree char *out =
        test_ctl_finish(test_process_start(f->sandbox, argv, see_other, f->sandbox->runtime), 0);
    g_assert_true(g_str_has_prefix(out, path));
    test_instance_ended(f, 0, TEST_NOTHING_LEFT);
    assert_snapshots(f, "one");
}

/* Its user's pause is not ended, and it can be saved once. */
static void test_paused(gconstpointer data)
{
    g_autoptr(TestInstance) f = BOOT();

    done(f, "pause", NULL, NULL);
    done(f, "snapshot", "--keep-running", "one");
    g_autofree char *status = test_ctl_finish(ctl(f, "status", NULL, NULL), 0);
    g_assert_nonnull(strstr(status, "paused (a pause was asked for)"));
    test_visit(f->client_socket, "sensors");
    assert_refused(ctl(f, "snapshot", "--keep-running", "two"), "resume it first (cvd-ctl resume)");
    done(f, "resume", NULL, NULL);
    test_ping(f->client_socket, "sensors");
    done(f, "snapshot", "--keep-running", "two");
    assert_snapshots(f, "one two");
    assert_goes_on(f);
}

/* ---- Refusals that disturb nobody ---- */

static void test_name_taken(gconstpointer data)
{
    g_autoptr(TestInstance) f = BOOT();

    done(f, "snapshot", "--keep-running", "one");
    g_autoptr(TestRegion) region = test_region_attach(f->client_socket, "sensors");
    assert_refused(ctl(f, "snapshot", "one", NULL), "there is one already");
    assert_usage(ctl(f, "snapshot", "a b", NULL), "a b");
    assert_usage(ctl(f, "snapshot", NULL, NULL), "NAME");
    assert_refused(ctl(f, "snapshot", "/nowhere/at/all", NULL), "/nowhere/at");
    test_region_ping(region, region->data_offset + 64, 7);
    g_assert_false(test_region_is_closed(region));
    assert_snapshots(f, "one");
    test_instance_stop(f, SIGINT);
}

static void test_not_migratable(gconstpointer data)
{
    g_autoptr(TestInstance) f = test_instance_boot(NAME, NULL);

    assert_refused(ctl(f, "snapshot", "one", NULL),
                   "set ivshmem.migratable to true in cvd.json, then start it again");
    assert_snapshots(f, "");
    assert_goes_on(f);
}

/* ---- Something comes in between ---- */

/* QEMU stops before the last of its state until it is cancelled. */
static TestProcess *begin_and_hold(const TestInstance *f, const char *name)
{
    g_autoptr(TestProcess) events = ctl(f, "events", NULL, NULL);

    test_process_wait_out(events, "running", 1);
    done(f, "qmp", "migrate-set-capabilities",
         "capabilities=[{\"capability\":\"pause-before-switchover\",\"state\":true}]");
    TestProcess *snapshot = ctl(f, "snapshot", "--keep-running", name);
    test_process_wait_out(events, "pre-switchover", 1);
    return snapshot;
}

static void let_go(const TestInstance *f)
{
    done(f, "qmp", "migrate-set-capabilities",
         "capabilities=[{\"capability\":\"pause-before-switchover\",\"state\":false}]");
}

static void test_second_meanwhile(gconstpointer data)
{
    g_autoptr(TestInstance) f = BOOT();
    TestProcess *first = begin_and_hold(f, "one");

    assert_refused(ctl(f, "snapshot", "two", NULL), "another snapshot is being taken");
    done(f, "qmp", "migrate-continue", "state=pre-switchover");
    test_ctl_done(first);
    assert_snapshots(f, "one");
    assert_goes_on(f);
}

/* Whoever has asked for it has gone. */
static void test_interrupted(gconstpointer data)
{
    const int signal = GPOINTER_TO_INT(data);
    g_autoptr(TestInstance) f = BOOT();
    g_autoptr(TestProcess) snapshot = begin_and_hold(f, "one");

    test_process_signal(snapshot, signal);
    test_process_wait_end(snapshot);
    g_assert_true(signal == SIGKILL ||
                  test_process_has_err(snapshot, "cvd-ctl: interrupted; there is no snapshot one, "
                                                 "and the machine goes on\n"));
    test_process_wait_err(f->launcher, "snapshot one: its caller has gone", 1);
    test_process_wait_err(f->launcher, NAME ": running again", 1);
    assert_snapshots(f, "");
    let_go(f);
    done(f, "snapshot", "--keep-running", "two");
    assert_goes_on(f);
}

static void test_reset_meanwhile(gconstpointer data)
{
    g_autoptr(TestInstance) f = BOOT();
    TestProcess *snapshot = begin_and_hold(f, "one");

    done(f, "reset", NULL, NULL);
    assert_refused(snapshot, "the snapshot was cancelled: the guest was reset meanwhile");
    test_launcher_wait_guest(f->sandbox, NAME, 2);
    assert_snapshots(f, "");
    let_go(f);
    done(f, "snapshot", "--keep-running", "two");
    assert_goes_on(f);
}

static void test_stop_meanwhile(gconstpointer data)
{
    const int signal = GPOINTER_TO_INT(data);
    g_autoptr(TestInstance) f = BOOT();
    TestProcess *snapshot = begin_and_hold(f, "one");

    test_process_signal(f->launcher, signal);
    assert_refused(snapshot, "the snapshot was cancelled: a stop was asked for");
    test_instance_ended(f, 0, TEST_NOTHING_LEFT);
    assert_snapshots(f, "");
}

static void test_qemu_dies(gconstpointer data)
{
    g_autoptr(TestInstance) f =
        BOOT("--set=lifecycle.on_crash=restart", "--set=lifecycle.restart_delay_ms=0");
    TestProcess *snapshot = begin_and_hold(f, "one");

    g_assert_no_errno(kill(test_launcher_find_qemu(f->launcher), SIGKILL));
    assert_refused(snapshot, "the snapshot was cancelled: QEMU ");
    test_instance_wait_guest(f, 2);
    assert_snapshots(f, "");
    done(f, "snapshot", "--keep-running", "two");
    assert_goes_on(f);
}

static void preload_late(gconstpointer data)
{
    g_setenv("LD_PRELOAD", g_getenv("CVD_LATE_SHIM"), TRUE);
}

/* It refuses to resume the guest for a moment after it has said that it is through. */
static void test_qemu_is_late(gconstpointer data)
{
    g_autoptr(TestInstance) f = boot_with(NULL, preload_late, NULL);
    g_autofree char *output = test_sandbox_instance_path(f->sandbox, NAME, "qemu.log");

    done(f, "snapshot", "--keep-running", "one");
    test_ping(f->client_socket, "sensors");
    done(f, "snapshot", "--keep-running", "two");
    test_wait_file(output, "late-shim: QEMU was late", 2);
    g_assert_false(test_process_has_err(f->launcher, "faulted"));
    assert_goes_on(f);
}

/* As of a file system that hangs. */
static void test_qemu_writes_nothing(gconstpointer data)
{
    g_autoptr(TestInstance) f = BOOT("--set=lifecycle.qmp_timeout_s=1");
    TestProcess *snapshot = begin_and_hold(f, "one");

    assert_refused(snapshot, "QEMU has written nothing of its state for 1 s");
    assert_snapshots(f, "");
    assert_goes_on(f);
}

/* ---- While the thread works ---- */

typedef struct {
    TestInstance *f;
    char *path;
    int fd; /* the gate is shut as long as it is open */
} Gate;

typedef struct {
    const char *path;
    const char *at;
} GateSetup;

static void preload_gate(gconstpointer data)
{
    const GateSetup *setup = data;

    g_setenv("LD_PRELOAD", g_getenv("CVD_GATE_SHIM"), TRUE);
    g_setenv("CVD_GATE", setup->path, TRUE);
    g_setenv("CVD_GATE_AT", setup->at, TRUE);
}

static char *why_no_shim(void)
{
    return g_getenv("CVD_GATE_SHIM") == NULL
               ? g_strdup("nothing can be preloaded into a program with a sanitizer")
               : test_why_no_guest();
}

/* Returns: the snapshot, which waits there */
static TestProcess *begin_at(Gate *gate, const char *at, const char *option)
{
    static const char *const args[] = {"--set=lifecycle.on_crash=restart",
                                       "--set=lifecycle.restart_delay_ms=0", NULL};
    GateSetup setup = {.at = at};

    gate->path = g_strdup_printf("/tmp/cvd-gate-%d", getpid());
    g_assert_no_errno(mkfifo(gate->path, 0600));
    setup.path = gate->path;
    gate->f = boot_with(args, preload_gate, &setup);
    TestProcess *snapshot = ctl(gate->f, "snapshot", "one", option);
    gate->fd = open(gate->path, O_WRONLY | O_CLOEXEC);
    g_assert_cmpint(gate->fd, >=, 0);
    return snapshot;
}

static void gate_open(Gate *gate)
{
    cvd_close_fd(&gate->fd);
}

static void gate_clear(Gate *gate)
{
    unlink(gate->path);
    g_free(gate->path);
    test_instance_free(gate->f);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Gate, gate_clear)

static void test_qemu_dies_before_the_copy(gconstpointer data)
{
    g_auto(Gate) gate = {0};
    TestProcess *snapshot = begin_at(&gate, "copy", "--keep-running");

    g_assert_no_errno(kill(test_launcher_find_qemu(gate.f->launcher), SIGKILL));
    test_instance_wait_guest(gate.f, 2);
    gate_open(&gate);
    assert_refused(snapshot, "the snapshot was cancelled");
    assert_snapshots(gate.f, "");
    assert_goes_on(gate.f);
}

/* While the thread works. That the launcher knows is certain once it has answered another. */
static void test_interrupted_at_the_end(gconstpointer data)
{
    g_auto(Gate) gate = {0};
    g_autoptr(TestProcess) snapshot = begin_at(&gate, "sync", "--keep-running");

    test_process_signal(snapshot, SIGINT);
    test_process_wait_end(snapshot);
    done(gate.f, "status", NULL, NULL);
    gate_open(&gate);
    test_process_wait_err(gate.f->launcher, "snapshot one: its caller has gone", 1);
    assert_snapshots(gate.f, "");
    assert_goes_on(gate.f);
}

static void test_launcher_is_killed(gconstpointer data)
{
    g_auto(Gate) gate = {0};
    TestProcess *snapshot = begin_at(&gate, "copy", NULL);

    test_process_signal(gate.f->launcher, SIGKILL);
    assert_refused(snapshot, "cvd-ctl: the instance has ended\n");
}

static void test_resumed_by_others(gconstpointer data)
{
    g_auto(Gate) gate = {0};
    TestProcess *snapshot = begin_at(&gate, "copy", NULL);

    done(gate.f, "qmp", "cont", NULL);
    test_process_wait_err(gate.f->launcher, NAME ": running again", 1);
    test_ping(gate.f->client_socket, "sensors");
    gate_open(&gate);
    assert_refused(snapshot, "the snapshot was cancelled: somebody else resumed the guest");
    assert_snapshots(gate.f, "");
    assert_goes_on(gate.f);
}

/* Who comes meanwhile waits. */
static void test_no_clients_meanwhile(gconstpointer data)
{
    static const char hello[] = "GET PROTOCOL_VER";
    g_auto(Gate) gate = {0};
    TestProcess *snapshot = begin_at(&gate, "copy", "--keep-running");
    cvd_autofd client = test_connect(gate.f->client_socket);
    GPollFD answer = {.fd = client, .events = G_IO_IN};
    char version[14];

    g_assert_cmpint(write(client, hello, strlen(hello)), ==, (gssize)strlen(hello));
    g_autofree char *status = test_ctl_finish(ctl(gate.f, "status", NULL, NULL), 0);
    g_assert_nonnull(strstr(status, "paused (a snapshot is taken)"));
    g_assert_cmpint(g_poll(&answer, 1, 0), ==, 0);
    gate_open(&gate);
    test_ctl_done(snapshot);
    test_wait_readable(client, "the server's answer");
    g_assert_cmpint(read(client, version, sizeof version), ==, sizeof version);
    test_visit_again(client, "sensors");
    assert_goes_on(gate.f);
}

/* The guest runs, and the machine is ended before the snapshot is complete. */
static void test_stop_at_the_end(gconstpointer data)
{
    g_auto(Gate) gate = {0};
    TestProcess *snapshot = begin_at(&gate, "sync", "--keep-running");

    test_process_wait_err(gate.f->launcher, NAME ": running again", 1);
    test_ping(gate.f->client_socket, "sensors");
    test_process_signal(gate.f->launcher, SIGINT);
    test_process_wait_err(gate.f->launcher, NAME ": stopping", 1);
    gate_open(&gate);
    assert_refused(snapshot, "the snapshot was cancelled: a stop was asked for");
    test_instance_ended(gate.f, 0, TEST_NOTHING_LEFT);
    assert_snapshots(gate.f, "");
}

/* Twice: at once. What is left then is removed by the next that writes there. */
static void test_stop_twice_at_the_end(gconstpointer data)
{
    g_auto(Gate) gate = {0};
    g_autoptr(TestProcess) snapshot = begin_at(&gate, "sync", "--keep-running");

    test_process_wait_err(gate.f->launcher, NAME ": running again", 1);
    test_process_signal(gate.f->launcher, SIGINT);
    test_process_wait_err(gate.f->launcher, "to remove what a snapshot has begun", 1);
    test_process_signal(gate.f->launcher, SIGINT);
    test_process_wait_end(snapshot);
    test_instance_ended(gate.f, 0, TEST_NOTHING_LEFT);
    g_autofree char *left = list_snapshots(gate.f);
    g_assert_true(g_str_has_prefix(left, ".one."));
    g_autofree char *path = snapshot_path(gate.f, "one");
    g_autoptr(GError) error = NULL;
    g_autoptr(CvdSnapshotWriter) writer = cvd_snapshot_writer_new(path, &error);
    g_assert_no_error(error);
    g_clear_pointer(&writer, cvd_snapshot_writer_free);
    assert_snapshots(gate.f, "");
}

/* ---- A disk that fills up, a client that writes ---- */

/* So large is the disk: QEMU's state does not fit, or what is copied afterwards does not. */
static const guint disk_kib[] = {64, 512};

/* Only the launcher sees it. */
static void see_small_disk(gconstpointer data)
{
    const char *path = g_getenv("CVD_SNAPSHOT_DIR");
    g_autofree char *options = g_strdup_printf("size=%uk,mode=0700", *(const guint *)data);

    test_enter_mount_namespace();
    if ((mkdir(path, 0700) < 0 && errno != EEXIST) || mount("tmpfs", path, "tmpfs", 0, options) < 0)
        _exit(126);
}

static void test_full_disk(gconstpointer data)
{
    g_autoptr(TestInstance) f = boot_with(NULL, see_small_disk, data);
    g_autofree char *path =
        g_strdup_printf("/proc/%d/root%s/snapshots", f->launcher->pid, f->sandbox->dir);
    g_autoptr(GError) error = NULL;

    assert_refused(ctl(f, "snapshot", "--keep-running", "one"), "MiB more are needed, ");
    test_process_wait_err(f->launcher, NAME ": running again", 1);
    g_autoptr(GDir) left = g_dir_open(path, 0, &error);
    g_assert_no_error(error);
    g_assert_cmpstr(g_dir_read_name(left), ==, NULL);
    assert_goes_on(f);
}

#define WRITTEN (64 * 1024)

/* A client that keeps its mapping, and writes without an end. Returns: its process */
static pid_t start_writer(const TestRegion *region)
{
    pid_t pid = fork();

    if (pid != 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (guint32 n = 0;; n++)
        for (guint32 at = region->data_offset + 64; at < region->data_offset + WRITTEN; at += 4)
            __atomic_store_n(test_region_word((TestRegion *)region, at), n, __ATOMIC_RELAXED);
}

/* What is saved is of some moment each, and whole: its digests are right. */
static void test_client_writes(gconstpointer data)
{
    g_autoptr(TestInstance) f = BOOT();
    g_autoptr(TestRegion) region = test_region_attach(f->client_socket, "framebuffer");
    pid_t writer = start_writer(region);

    g_assert_cmpint(writer, >, 0);
    for (guint i = 0; i < 5; i++) {
        g_autofree char *name = g_strdup_printf("s%u", i);
        g_autofree char *path = snapshot_path(f, name);
        done(f, "snapshot", "--keep-running", name);
        cvd_snapshot_free(open_snapshot(path));
    }
    g_assert_no_errno(kill(writer, SIGKILL));
    g_assert_cmpint(waitpid(writer, NULL, 0), ==, writer);
    assert_goes_on(f);
}

/* ---- Again and again ---- */

#define N_SNAPSHOTS 20

static void ping_often(const TestInstance *f)
{
    g_autoptr(TestRegion) region = test_region_attach(f->client_socket, "sensors");

    for (guint32 i = 0; i < 100; i++)
        test_region_ping(region, region->data_offset + 64, i);
}

static void test_many(gconstpointer data)
{
    /* One more thread than before would have one more heap. */
    g_setenv("MALLOC_ARENA_MAX", "1", TRUE);
    g_autoptr(TestInstance) f = BOOT();
    TestMemory memory = {0};
    guint n_fds = 0;

    for (guint i = 0; i < N_SNAPSHOTS; i++) {
        g_autofree char *name = g_strdup_printf("s%u", i);
        ping_often(f);
        done(f, "snapshot", "--keep-running", name);
        ping_often(f);
        if (i == N_SNAPSHOTS / 2) {
            memory = test_get_memory(f->launcher);
            n_fds = test_count_fds(f->launcher);
        }
    }
    test_assert_no_growth(memory, test_get_memory(f->launcher), 256);
    /* One more each time would be more than that; a connection may not have been seen to end. */
    g_assert_cmpuint(test_count_fds(f->launcher), <, n_fds + N_SNAPSHOTS / 4);
    test_instance_stop(f, SIGINT);
}

/* Whichever comes first: the snapshot is complete, or says why there is none. The firmware's second
 * reset can come later than clients are let in, on a host that is busy, and closes them once more;
 * there is none when the new guest is ready. */
static void test_with_resets(gconstpointer data)
{
    g_autoptr(TestInstance) f = BOOT();

    for (guint i = 0; i < 10; i++) {
        g_autofree char *name = g_strdup_printf("s%u", i);
        g_autofree char *path = snapshot_path(f, name);
        TestProcess *reset = ctl(f, "reset", NULL, NULL);
        g_autoptr(TestProcess) taken = ctl(f, "snapshot", "--keep-running", name);
        test_ctl_done(reset);
        if (test_process_wait_exit(taken) == 0) {
            cvd_snapshot_free(open_snapshot(path));
        } else {
            g_assert_nonnull(strstr(taken->err->str, "the guest was reset meanwhile"));
        }
        test_launcher_wait_guest(f->sandbox, NAME, 2 + i);
        test_ping(f->client_socket, "sensors");
    }
    test_instance_stop(f, SIGINT);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    test_add("/snapshot/keeps-running", NULL, test_keeps_running);
    test_add("/snapshot/stops", NULL, test_stops);
    test_add("/snapshot/path", NULL, test_path);
    test_add("/snapshot/place", NULL, test_place);
    test_add_unless("/snapshot/of-another-user", NULL, test_of_another_user, why_not_root);
    test_add("/snapshot/paused", NULL, test_paused);
    test_add("/snapshot/name-taken", NULL, test_name_taken);
    test_add("/snapshot/not-migratable", NULL, test_not_migratable);
    test_add("/snapshot/second-meanwhile", NULL, test_second_meanwhile);
    test_add("/snapshot/interrupted", GINT_TO_POINTER(SIGINT), test_interrupted);
    test_add("/snapshot/caller-killed", GINT_TO_POINTER(SIGKILL), test_interrupted);
    test_add("/snapshot/reset-meanwhile", NULL, test_reset_meanwhile);
    test_add("/snapshot/ctrl-c-meanwhile", GINT_TO_POINTER(SIGINT), test_stop_meanwhile);
    test_add("/snapshot/hang-up-meanwhile", GINT_TO_POINTER(SIGHUP), test_stop_meanwhile);
    test_add("/snapshot/qemu-dies", NULL, test_qemu_dies);
    test_add("/snapshot/qemu-writes-nothing", NULL, test_qemu_writes_nothing);
    test_add_unless("/snapshot/qemu-is-late", NULL, test_qemu_is_late, why_no_shim);
    test_add_unless("/snapshot/qemu-dies-before-the-copy", NULL, test_qemu_dies_before_the_copy,
                    why_no_shim);
    test_add_unless("/snapshot/interrupted-at-the-end", NULL, test_interrupted_at_the_end,
                    why_no_shim);
    test_add_unless("/snapshot/launcher-is-killed", NULL, test_launcher_is_killed, why_no_shim);
    test_add_unless("/snapshot/resumed-by-others", NULL, test_resumed_by_others, why_no_shim);
    test_add_unless("/snapshot/no-clients-meanwhile", NULL, test_no_clients_meanwhile, why_no_shim);
    test_add_unless("/snapshot/ctrl-c-at-the-end", NULL, test_stop_at_the_end, why_no_shim);
    test_add_unless("/snapshot/ctrl-c-twice-at-the-end", NULL, test_stop_twice_at_the_end,
                    why_no_shim);
    for (gsize i = 0; i < G_N_ELEMENTS(disk_kib); i++) {
        g_autofree char *path = g_strdup_printf("/snapshot/full-disk/%u-kib", disk_kib[i]);
        test_add_unless(path, &disk_kib[i], test_full_disk, test_why_no_mount);
    }
    test_add("/snapshot/client-writes", NULL, test_client_writes);
    test_add("/snapshot/20-one-after-another", NULL, test_many);
    test_add("/snapshot/with-resets", NULL, test_with_resets);
    return g_test_run();
}
