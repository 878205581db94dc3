/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `cvd-launch --from` with a real QEMU and the built-in guest: what is there again, what begins
 * anew, and what is refused. restore-many.c has many machines of one snapshot.
 */
#include "base/error.h"
#include "base/fd.h"
#include "base/snapshot-store.h"
#include "base/snapshot-writer.h"
#include "tests/support/clone.h"
#include "tests/support/ctl.h"
#include "tests/support/instance.h"
#include "tests/support/region.h"
#include "tests/support/rows.h"
#include "tests/support/snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define SOURCE   "source"
#define CLONE    "clone"
#define WORD     0x12345678
#define PLACE    64 /* of a word, in the data of a region */
#define RESTARTS "--set=lifecycle.on_crash=restart", "--set=lifecycle.restart_delay_ms=0"

#define ARGS(...) ((const char *const[]){__VA_ARGS__ __VA_OPT__(, ) NULL})

/* ---- What all of them need ---- */

static TestInstance *boot(const char *const *args)
{
    g_autoptr(GPtrArray) all = g_ptr_array_new();

    g_ptr_array_add(all, (char *)"--set=ivshmem.migratable=true");
    g_ptr_array_add(all, (char *)"--set=qemu.memory=64M");
    for (; *args != NULL; args++)
        g_ptr_array_add(all, (char *)*args);
    g_ptr_array_add(all, NULL);
    return test_instance_boot(SOURCE, (const char *const *)all->pdata);
}

static void put_word(const char *socket, guint32 word)
{
    g_autoptr(TestRegion) region = test_region_attach(socket, "sensors");

    *test_region_word(region, region->data_offset + PLACE) = word;
}

static void assert_word(const char *socket, guint32 word)
{
    g_autoptr(TestRegion) region = test_region_attach(socket, "sensors");

    g_assert_cmphex(*test_region_word(region, region->data_offset + PLACE), ==, word);
}

/* Of a machine that has answered, and has a word in its window. Returns: it, which has ended */
static TestInstance *save(const char *const *args)
{
    TestInstance *f = boot(args);

    put_word(f->client_socket, WORD);
    test_ping(f->client_socket, "sensors");
    test_save(f->sandbox, SOURCE, TEST_SNAPSHOT, NULL);
    test_launcher_assert_exit(f->launcher, 0);
    return f;
}

#define SAVE(...) save(ARGS(__VA_ARGS__))

static TestClone *run_clone(const TestInstance *f, const char *const *args)
{
    return test_clone_run(f->sandbox, CLONE, TEST_SNAPSHOT, args);
}

static void kill_qemu(const TestClone *clone)
{
    g_assert_no_errno(kill(test_launcher_find_qemu(clone->launcher), SIGKILL));
}

/* The launcher ends with @status, and has said all of @texts; nothing is left but logs. */
static void assert_refused(const TestInstance *f, const char *from, const char *const *args,
                           int status, const char *const *texts)
{
    g_autoptr(TestClone) clone = test_clone_start(f->sandbox, CLONE, from, args);

    test_launcher_assert_exit(clone->launcher, status);
    for (guint i = 0; texts[i] != NULL; i++)
        test_launcher_assert_err(clone->launcher, texts[i]);
    g_assert_false(test_process_has_err(clone->launcher, "restarting"));
    test_sandbox_assert_clean(f->sandbox, status == 1 ? TEST_LOGS_LEFT : TEST_NOTHING_LEFT);
}

/* ---- What is there again ---- */

static void test_content(gconstpointer data)
{
    g_autoptr(TestInstance) f = SAVE();
    g_autoptr(TestClone) clone = run_clone(f, NULL);
    g_autofree char *path = test_snapshot_path(f->sandbox, TEST_SNAPSHOT);

    test_process_wait_err(clone->launcher, " ms, from snapshot " TEST_SNAPSHOT, 1);
    assert_word(clone->client_socket, WORD);
    test_ping(clone->client_socket, "sensors");
    test_ping(clone->client_socket, "hwcomposer");
    test_clone_assert_not_booted(clone);
    g_autofree char *status = test_clone_ctl(clone, "status", NULL);
    g_assert_nonnull(strstr(status, path));
    test_clone_stop(clone);
    test_sandbox_assert_clean(f->sandbox, TEST_NOTHING_LEFT);
}

/* A migration over QMP has all of the clone's memory, and not only what is not shared. */
static void test_migration_is_whole(gconstpointer data)
{
    g_autoptr(TestInstance) f = SAVE();
    g_autoptr(TestClone) clone = run_clone(f, NULL);
    g_autofree char *said = test_clone_ctl(clone, "qmp", "query-migrate-capabilities");
    g_auto(GStrv) words = g_strsplit_set(said, " \n", -1);
    g_autofree char *capabilities = g_strjoinv("", words);

    if (strstr(capabilities, "\"state\":false,\"capability\":\"x-ignore-shared\"") == NULL)
        g_error("%s", said);
    test_clone_stop(clone);
}

/* What was asked while the guest stood still is answered by each of its clones; what is rung for a
 * client that was not there is rung for the one that comes. */
static void test_doorbells(gconstpointer data)
{
    g_autoptr(TestInstance) f = boot(ARGS());
    g_autoptr(TestRegion) asked = test_region_attach(f->client_socket, "sensors");
    g_autoptr(TestRegion) rung = test_region_attach(f->client_socket, "hwcomposer");
    guint32 offset = asked->data_offset;

    test_ctl_done(test_ctl(f->sandbox, "--name=" SOURCE, "pause", NULL));
    *test_region_word(asked, offset) = 41;
    test_region_signal(asked, offset);
    *test_region_word(rung, rung->in.word) = 1;
    test_save(f->sandbox, SOURCE, TEST_SNAPSHOT, NULL);
    for (guint i = 0; i < 2; i++) {
        g_autoptr(TestClone) clone =
            test_clone_start(f->sandbox, CLONE, TEST_SNAPSHOT, ARGS("--paused"));
        test_process_wait_err(clone->launcher, ": paused after ", 1);
        g_autoptr(TestRegion) answered = test_region_attach(clone->client_socket, "sensors");
        g_autoptr(TestRegion) told = test_region_attach(clone->client_socket, "hwcomposer");
        test_region_wait_ring(told);
        g_free(test_clone_ctl(clone, "resume", NULL));
        test_region_wait_signal(answered, offset + 4);
        g_assert_cmpuint(*test_region_word(answered, offset + 4), ==, 42);
        test_clone_stop(clone);
    }
}

static void test_reset(gconstpointer data)
{
    g_autoptr(TestInstance) f = SAVE();
    g_autoptr(TestClone) clone = run_clone(f, NULL);

    g_free(test_clone_ctl(clone, "reset", NULL));
    test_launcher_wait_guest(f->sandbox, CLONE, 1);
    test_ping(clone->client_socket, "sensors");
    test_clone_stop(clone);
}

/* Each VM of the launch begins where the snapshot is, whatever became of the one before. */
static void test_restarts(gconstpointer data)
{
    g_autoptr(TestInstance) f = SAVE();
    g_autoptr(TestClone) clone = run_clone(f, ARGS(RESTARTS, (const char *)data));

    put_word(clone->client_socket, 1);
    g_free(test_clone_ctl(clone, "restart", NULL));
    test_clone_wait_running(clone, 2);
    assert_word(clone->client_socket, WORD);
    put_word(clone->client_socket, 2);
    g_autoptr(TestRegion) region = test_region_attach(clone->client_socket, "sensors");
    kill_qemu(clone);
    test_region_wait_closed(region);
    test_clone_wait_running(clone, 3);
    assert_word(clone->client_socket, WORD);
    test_ping(clone->client_socket, "sensors");
    test_clone_assert_not_booted(clone);
    test_clone_stop(clone);
}

static void test_paused(gconstpointer data)
{
    g_autoptr(TestInstance) f = SAVE();
    g_autoptr(TestClone) clone =
        test_clone_start(f->sandbox, CLONE, TEST_SNAPSHOT, ARGS("--paused"));

    test_process_wait_err(clone->launcher, ": paused after ", 1);
    assert_word(clone->client_socket, WORD);
    g_free(test_clone_ctl(clone, "resume", NULL));
    test_ping(clone->client_socket, "sensors");
    test_clone_stop(clone);
}

/* The guest has said so before; the next time it does is after a reset. */
static void test_ready(gconstpointer data)
{
    const char *pattern = data;
    g_autoptr(TestInstance) f = SAVE("--set=lifecycle.ready=guest", pattern);
    g_autoptr(TestClone) clone = run_clone(f, NULL);

    test_process_wait_err(clone->launcher, CLONE ": ready after ", 1);
    test_clone_assert_not_booted(clone);
    g_free(test_clone_ctl(clone, "reset", NULL));
    test_process_wait_err(clone->launcher, CLONE ": ready again: ", 1);
    test_clone_stop(clone);
}

/* The connection goes on in the background, as the snapshot does. */
static void test_detached(gconstpointer data)
{
    g_autoptr(TestInstance) f = SAVE();
    g_autoptr(TestClone) clone =
        test_clone_start(f->sandbox, CLONE, TEST_SNAPSHOT, ARGS("--detach"));

    test_launcher_assert_exit(clone->launcher, 0);
    g_free(test_clone_ctl(clone, "restart", NULL));
    g_free(test_clone_ctl(clone, "wait", "running"));
    assert_word(clone->client_socket, WORD);
    test_ping(clone->client_socket, "sensors");
    g_free(test_clone_ctl(clone, "stop", NULL));
}

/* ---- Where RAM comes from ---- */

/* It is unpacked once, for all VMs of the launch. */
static void test_compressed(gconstpointer data)
{
    g_autoptr(TestInstance) f = boot(ARGS());

    put_word(f->client_socket, WORD);
    test_save(f->sandbox, SOURCE, "--compress", TEST_SNAPSHOT, NULL);
    g_autoptr(TestClone) clone = run_clone(f, NULL);
    test_launcher_assert_err(clone->launcher, "unpacking 64 MiB of memory of snapshot base");
    g_free(test_clone_ctl(clone, "restart", NULL));
    test_clone_wait_running(clone, 2);
    assert_word(clone->client_socket, WORD);
    test_ping(clone->client_socket, "sensors");
    test_clone_stop(clone);
}

static void see_snapshots_read_only(gconstpointer data)
{
    const char *path = data;

    test_enter_mount_namespace();
    if (mount(path, path, NULL, MS_BIND, NULL) < 0 ||
        mount(NULL, path, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL) < 0)
        _exit(126);
}

/* Where QEMU 7.2 cannot open a file for writing, it cannot map it either. */
static void test_read_only_place(gconstpointer data)
{
    g_autoptr(TestInstance) f = SAVE();
    g_autofree char *path = test_sandbox_path(f->sandbox, "snapshots");
    const char *const argv[] = {
        test_launcher_path(), "--from", TEST_SNAPSHOT, "--name", CLONE, NULL};
    g_autofree char *socket = test_sandbox_instance_path(f->sandbox, CLONE, "client.sock");
    g_autoptr(TestProcess) launcher =
        test_process_start(f->sandbox, argv, see_snapshots_read_only, path);

    test_process_wait_err(launcher, "copying 64 MiB of memory of snapshot base", 1);
    test_launcher_wait_running(launcher);
    test_ping(socket, "sensors");
    test_launcher_stop(launcher, SIGINT);
}

/* ---- Another snapshot ---- */

/* A clone has what it has written, and what it has not; that stays when the first is gone. */
static void test_of_a_clone(gconstpointer data)
{
    g_autoptr(TestInstance) f = SAVE();
    g_autofree char *first_path = test_snapshot_path(f->sandbox, TEST_SNAPSHOT);
    g_autoptr(GError) error = NULL;
    g_autoptr(TestClone) first = run_clone(f, NULL);

    assert_word(first->client_socket, WORD);
    put_word(first->client_socket, 4711);
    test_ping(first->client_socket, "hwcomposer");
    test_save(f->sandbox, CLONE, "second", NULL);
    test_launcher_assert_exit(first->launcher, 0);
    cvd_snapshot_delete(first_path, &error);
    g_assert_no_error(error);
    g_autoptr(TestClone) second = test_clone_run(f->sandbox, "other", "second", NULL);
    assert_word(second->client_socket, 4711);
    test_ping(second->client_socket, "sensors");
    test_clone_assert_not_booted(second);
    test_clone_stop(second);
}

static void test_deletion(gconstpointer data)
{
    g_autoptr(TestInstance) f = SAVE();
    g_autofree char *path = test_snapshot_path(f->sandbox, TEST_SNAPSHOT);
    g_autoptr(GError) error = NULL;
    g_autoptr(TestClone) clone = run_clone(f, NULL);

    g_autoptr(TestClone) detached =
        test_clone_start(f->sandbox, "detached", TEST_SNAPSHOT, ARGS("--detach"));
    test_launcher_assert_exit(detached->launcher, 0);
    g_autofree char *list = test_ctl_finish(test_ctl(f->sandbox, "snapshots", "--json", NULL), 0);
    g_assert_nonnull(strstr(list, "\"in_use\":true,\"users\":2"));
    g_autoptr(TestProcess) delete = test_ctl(f->sandbox, "delete", TEST_SNAPSHOT, NULL);
    g_assert_cmpint(test_process_wait_exit(delete), ==, 1);
    g_assert_true(test_process_has_err(delete, "/base: " CLONE ", detached run from it; stop them "
                                               "first\n"));
    g_free(test_clone_ctl(detached, "stop", NULL));
    g_assert_false(cvd_snapshot_delete(path, &error));
    g_assert_error(error, CVD_ERROR, CVD_ERROR_BUSY);
    g_clear_error(&error);
    test_clone_stop(clone);
    cvd_snapshot_delete(path, &error);
    g_assert_no_error(error);
    assert_refused(f, TEST_SNAPSHOT, NULL, 2, ARGS("/snapshots/base: there is no such snapshot"));
}

/* ---- What does not fit ---- */

static void test_configuration(gconstpointer data)
{
    g_autoptr(TestInstance) f = SAVE();
    g_autofree char *config = test_write_config(f->sandbox, 3);

    assert_refused(
        f, TEST_SNAPSHOT,
        ARGS("--set=qemu.memory=128M", "--set=qemu.machine=pc", "--set=ivshmem.migratable=false"),
        2,
        ARGS("qemu.machine: is \"pc\", and in snapshot base \"q35\"; set it to \"q35\"",
             "ivshmem.migratable: is false, and in snapshot base true; set it to true",
             "qemu.memory: is 128M, and in snapshot base 64M", "3 problems; nothing was started"));
    assert_refused(
        f, TEST_SNAPSHOT,
        ARGS("--config", config, "--set=ivshmem.migratable=true", "--set=qemu.memory=64M"), 2,
        ARGS("layout.vsoc_device_regions: has no region hwcomposer, which snapshot base has at [0]",
             "nothing was started"));
}

/* Another configuration that fits has the rest: here, programs. */
static void test_other_configuration(gconstpointer data)
{
    g_autoptr(TestInstance) f = SAVE();
    g_autofree char *config = test_source_path("conf/cvd.json");
    g_autofree char *said = test_sandbox_path(f->sandbox, "said");
    g_autofree char *program =
        g_strdup_printf("--set=programs={\"p\": {\"argv\": [\"sh\", \"-c\", \"echo $CVD_NAME >%s; "
                        "exec sleep 1000\"]}}",
                        said);
    g_autoptr(TestClone) clone =
        run_clone(f, ARGS("--config", config, "--set=qemu.accel=tcg", "--set=qemu.memory=64M",
                          "--set=ivshmem.migratable=true", program));

    test_wait_file(said, CLONE "\n", 1);
    assert_word(clone->client_socket, WORD);
    test_clone_stop(clone);
}

static void copy_file(const CvdSnapshot *from, CvdSnapshotWriter *writer, const char *file)
{
    g_autoptr(GError) error = NULL;
    cvd_autofd fd = cvd_snapshot_open_file(from, file, &error);

    g_assert_no_error(error);
    cvd_snapshot_writer_copy(writer, file, fd, NULL, &error);
    g_assert_no_error(error);
}

/* A stream that QEMU begins to load, and then finds that it is none: it has devices, and ends
 * within them. */
static void write_broken_state(CvdSnapshotWriter *writer, const char *path)
{
    g_autofree char *bytes = NULL;
    g_autoptr(GError) error = NULL;
    gsize size;

    g_assert_true(g_file_get_contents(path, &bytes, &size, NULL));
    cvd_autofd fd = cvd_snapshot_writer_create(writer, CVD_SNAPSHOT_STATE, &error);
    g_assert_no_error(error);
    memset(bytes + size / 2, 0xff, size - size / 2);
    g_assert_cmpint(write(fd, bytes, size), ==, (gssize)size);
}

/* Of the snapshot, another one, with right digests. */
static void forge(const TestInstance *f, const char *version, const char *machine,
                  gboolean is_broken)
{
    g_autofree char *from_path = test_snapshot_path(f->sandbox, TEST_SNAPSHOT);
    g_autofree char *state = g_build_filename(from_path, CVD_SNAPSHOT_STATE, NULL);
    g_autofree char *path = test_snapshot_path(f->sandbox, "forged");
    g_autoptr(GError) error = NULL;
    g_autoptr(CvdSnapshot) from = cvd_snapshot_open(from_path, &error);
    g_assert_no_error(error);
    g_autoptr(CvdSnapshotWriter) writer = cvd_snapshot_writer_new(path, &error);
    g_assert_no_error(error);
    CvdSnapshotInfo *info = (CvdSnapshotInfo *)cvd_snapshot_get_info(from);

    copy_file(from, writer, CVD_SNAPSHOT_CONFIG);
    copy_file(from, writer, CVD_SNAPSHOT_WINDOW);
    copy_file(from, writer, CVD_SNAPSHOT_RAM);
    if (is_broken)
        write_broken_state(writer, state);
    else
        copy_file(from, writer, CVD_SNAPSHOT_STATE);
    if (version != NULL) {
        g_free(info->qemu_version);
        info->qemu_version = g_strdup(version);
    }
    if (machine != NULL) {
        g_free(info->machine);
        info->machine = g_strdup(machine);
    }
    cvd_snapshot_writer_finish(writer, info, NULL, &error);
    g_assert_no_error(error);
}

/* Before anything is loaded, and it is not tried again. */
static void test_other_qemu(gconstpointer data)
{
    g_autoptr(TestInstance) f = SAVE();

    forge(f, "6.0.1", NULL, FALSE);
    assert_refused(f, "forged", ARGS(RESTARTS), 1,
                   ARGS("snapshot forged was taken with QEMU 6.0.1, and qemu.binary is QEMU "));
}

static void test_other_machine(gconstpointer data)
{
    g_autoptr(TestInstance) f = SAVE();

    forge(f, NULL, "pc-q35-2.4", FALSE);
    assert_refused(f, "forged", ARGS(RESTARTS), 1,
                   ARGS("snapshot forged is of the machine pc-q35-2.4, and qemu.machine is pc-q35",
                        "; set it to pc-q35-2.4"));
}

static void test_broken_state(gconstpointer data)
{
    g_autoptr(TestInstance) f = SAVE();

    forge(f, NULL, NULL, TRUE);
    assert_refused(f, "forged", ARGS(RESTARTS), 1,
                   ARGS("QEMU: qemu-system-x86_64: load of migration failed",
                        CLONE ": error: QEMU could not load snapshot forged",
                        "what to do: the snapshot's state is not for the devices"));
}

/* Only new versions of QEMU can be asked to keep their hands off a file. */
static void test_new_qemu(gconstpointer data)
{
    g_autoptr(TestInstance) f = SAVE();
    g_autofree char *binary = test_sandbox_write_script(
        f->sandbox, "qemu", "#!/bin/sh\necho '  rom=<OnOffAuto>     - Whether to…'\n");
    g_autofree char *argument = g_strconcat("--set=qemu.binary=", binary, NULL);

    forge(f, "8.2.0", NULL, FALSE);
    g_autoptr(TestClone) clone =
        test_clone_start(f->sandbox, CLONE, "forged", ARGS(argument, "--print-command"));
    test_launcher_assert_exit(clone->launcher, 0);
    g_assert_nonnull(strstr(clone->launcher->out->str, "\"share\":false,\"mem-path\":\"/tmp/"));
    g_assert_nonnull(strstr(clone->launcher->out->str, "\"readonly\":true,\"rom\":\"off\"}"));
    g_assert_nonnull(strstr(clone->launcher->out->str, "-incoming defer"));
}

static void cut(const char *path)
{
    g_assert_no_errno(truncate(path, 1000));
}

static void flip(const char *path)
{
    cvd_autofd fd = open(path, O_RDWR | O_CLOEXEC);
    guint8 byte;

    g_assert_cmpint(pread(fd, &byte, 1, 1000), ==, 1);
    byte ^= 1;
    g_assert_cmpint(pwrite(fd, &byte, 1, 1000), ==, 1);
}

static void make_newer(const char *path)
{
    static const char end[] = "\"sha256\" : \"";
    g_autofree char *text = NULL;

    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    *strchr(text, '1') = '9';
    char *digest = strstr(text, end) + strlen(end);
    g_autofree char *right =
        g_compute_checksum_for_data(G_CHECKSUM_SHA256, (guint8 *)text, (gsize)(digest - text));
    memcpy(digest, right, strlen(right));
    g_assert_true(g_file_set_contents(path, text, -1, NULL));
}

static void remove_file(const char *path)
{
    g_assert_no_errno(unlink(path));
}

static void let_others_write(const char *path)
{
    g_assert_no_errno(chmod(path, 0666));
}

static const struct {
    const char *name;
    const char *file;
    void (*change)(const char *path);
    const char *text;
} damages[] = {
    {"truncated", "state", cut, "/snapshots/base: damaged: state: truncated: it has 1000 bytes"},
    {"flipped-bit", "state", flip, "/snapshots/base: damaged: state: its SHA-256 is not the one"},
    {"flipped-bit-in-ram", "ram", flip, "/snapshots/base: damaged: ram: its SHA-256 is not the"},
    {"newer", "snapshot.json", make_newer, "/snapshots/base: made by a newer cvd-launch (format 9"},
    {"foreign", "snapshot.json", remove_file, "/snapshots/base: is no snapshot, as it has no"},
    {"incomplete", "window", remove_file, "/snapshots/base/window: is missing"},
    {"open-to-others", "ram", let_others_write, "/snapshots/base/ram: others can write there"},
};

static void test_damages(gconstpointer data)
{
    for (gsize i = 0; i < G_N_ELEMENTS(damages); i++) {
        g_autoptr(TestInstance) f = SAVE();
        g_autofree char *dir = test_snapshot_path(f->sandbox, TEST_SNAPSHOT);
        g_autofree char *path = g_build_filename(dir, damages[i].file, NULL);
        g_test_message("%s", damages[i].name);
        damages[i].change(path);
        assert_refused(f, TEST_SNAPSHOT, NULL, 2, ARGS(damages[i].text));
    }
}

/* ---- Programs ---- */

static char *note(const char *name, const char *said, const char *then, const char *more)
{
    return g_strdup_printf("\"%s\": {\"argv\": [\"sh\", \"-c\", \"echo %s >>%s%s\"]%s}", name, name,
                           said, then, more);
}

/* Of those that do their work once only those that ask for it run again. */
static void test_programs(gconstpointer data)
{
    g_autoptr(TestInstance) f = test_instance_new(SOURCE);
    g_autofree char *said = test_sandbox_path(f->sandbox, "said");
    g_autofree char *first = note("first", said, "", ", \"oneshot\": true");
    g_autofree char *each = note("each", said, "",
                                 ", \"oneshot\": true, \"on_restore\": true, \"after\": "
                                 "[\"first\"]");
    g_autofree char *other = note("long", said, "; exec sleep 1000", ", \"after\": [\"each\"]");
    g_autofree char *programs = g_strdup_printf("--set=programs={%s, %s, %s}", first, each, other);
    const char *args[] = {"--set=ivshmem.migratable=true", "--set=qemu.memory=64M", programs, NULL};
    g_autofree char *text = NULL;

    f->launcher = test_launch_with(f->sandbox, SOURCE, args, NULL, NULL);
    test_instance_wait_guest(f, 1);
    test_save(f->sandbox, SOURCE, TEST_SNAPSHOT, NULL);
    test_launcher_assert_exit(f->launcher, 0);
    g_autoptr(TestClone) clone = run_clone(f, NULL);
    test_wait_file(said, "long\n", 2);
    g_autofree char *states = test_clone_ctl(clone, "programs", "--json");
    g_assert_nonnull(strstr(states, "{\"name\":\"first\",\"state\":\"done\""));
    g_free(test_clone_ctl(clone, "restart", NULL));
    test_clone_wait_running(clone, 2);
    test_clone_stop(clone);
    g_assert_true(g_file_get_contents(said, &text, NULL, NULL));
    g_assert_cmpstr(text, ==, "first\neach\nlong\neach\nlong\neach\n");
}

/* ---- Disks ---- */

static char *why_no_qemu_img(void)
{
    g_autofree char *path = g_find_program_in_path("qemu-img");

    return path == NULL ? g_strdup("qemu-img is not installed (package qemu-utils)")
                        : test_why_no_guest();
}

static char *why_no_other_user(void)
{
    return geteuid() != 0 ? g_strdup("needs root") : why_no_qemu_img();
}

/* QEMU itself reads and writes, as the guest has no driver. Returns: (transfer full): what it says
 */
static char *io(const TestSandbox *sandbox, const char *name, const char *command)
{
    g_autofree char *instance = g_strconcat("--name=", name, NULL);
    g_autofree char *line = g_strdup_printf(
        "command-line=qemu-io -d /machine/peripheral/disk/virtio-backend \"%s\"", command);

    return test_ctl_finish(test_ctl(sandbox, instance, "qmp", "human-monitor-command", line, NULL),
                           0);
}

static void assert_io(const TestSandbox *sandbox, const char *name, const char *command)
{
    g_autofree char *said = io(sandbox, name, command);

    if (strstr(said, "failed") != NULL || strstr(said, "rror") != NULL)
        g_error("%s: %s: %s", name, command, said);
}

/* A snapshot of a clone needs no other. @clone: ends */
static void assert_disks_of_a_clone(const TestInstance *f, const TestClone *clone)
{
    g_autofree char *first_path = test_snapshot_path(f->sandbox, TEST_SNAPSHOT);
    g_autoptr(GError) error = NULL;

    test_save(f->sandbox, CLONE, "second", NULL);
    test_launcher_assert_exit(clone->launcher, 0);
    cvd_snapshot_delete(first_path, &error);
    g_assert_no_error(error);
    g_autoptr(TestClone) second = test_clone_run(f->sandbox, "second", "second", NULL);
    assert_io(f->sandbox, "second", "read -P 0x5a 0 4k");
    assert_io(f->sandbox, "second", "read -P 0x11 4k 60k");
    test_clone_stop(second);
}

static char *make_disk(const TestInstance *f)
{
    char *image = test_sandbox_path(f->sandbox, "disk.qcow2");
    const char *const create[] = {"qemu-img", "create", "-q", "-f", "qcow2", image, "16M", NULL};
    g_autoptr(TestProcess) qemu_img = test_process_start(f->sandbox, create, NULL, NULL);

    g_assert_cmpint(test_process_wait_exit(qemu_img), ==, 0);
    return image;
}

static void launch_with_disk(TestInstance *f, const char *image)
{
    g_autofree char *blockdevs =
        g_strdup_printf("--set=qemu.blockdevs=[{\"driver\": \"qcow2\", \"node-name\": \"d\","
                        " \"file\": {\"driver\": \"file\", \"filename\": \"%s\"}}]",
                        image);
    const char *devices = "--set=qemu.devices=[{\"driver\": \"virtio-blk-pci\", \"drive\": \"d\","
                          " \"id\": \"disk\"}]";
    const char *args[] = {"--set=ivshmem.migratable=true", "--set=qemu.memory=64M", blockdevs,
                          devices, NULL};

    f->launcher = test_launch_with(f->sandbox, SOURCE, args, NULL, NULL);
    test_instance_wait_guest(f, 1);
}

/* Each VM has the disk as it was, and what it writes is its own and gone with it. @data:
 * (nullable): an argument for the clone */
static void test_disks(gconstpointer data)
{
    g_autoptr(TestInstance) f = test_instance_new(SOURCE);
    g_autofree char *image = make_disk(f);
    g_autofree char *overlay = test_sandbox_instance_path(f->sandbox, CLONE, "disk-0.qcow2");

    launch_with_disk(f, image);
    assert_io(f->sandbox, SOURCE, "write -P 0x11 0 64k");
    test_save(f->sandbox, SOURCE, TEST_SNAPSHOT, NULL);
    test_launcher_assert_exit(f->launcher, 0);
    g_assert_no_errno(unlink(image));

    g_autoptr(TestClone) clone = run_clone(f, ARGS(data));
    g_autoptr(TestClone) other = test_clone_run(f->sandbox, "other", TEST_SNAPSHOT, NULL);
    assert_io(f->sandbox, CLONE, "read -P 0x11 0 64k");
    assert_io(f->sandbox, CLONE, "write -P 0x5a 0 4k");
    assert_io(f->sandbox, "other", "read -P 0x11 0 64k");
    test_clone_stop(other);
    g_assert_true(g_file_test(overlay, G_FILE_TEST_EXISTS));
    g_free(test_clone_ctl(clone, "restart", NULL));
    test_clone_wait_running(clone, 2);
    assert_io(f->sandbox, CLONE, "read -P 0x11 0 64k");
    assert_io(f->sandbox, CLONE, "write -P 0x5a 0 4k");
    assert_disks_of_a_clone(f, clone);
    test_sandbox_assert_clean(f->sandbox, TEST_NOTHING_LEFT);
}

/* What QEMU does not have open is not the guest's disk, whatever its name is. */
static void test_other_disk(gconstpointer data)
{
    g_autoptr(TestInstance) f = test_instance_new(SOURCE);
    g_autofree char *image = make_disk(f);
    g_autofree char *moved = test_sandbox_path(f->sandbox, "moved.qcow2");
    g_autofree char *text = g_strdup_printf("the disk %s: another file has that name now", image);

    launch_with_disk(f, image);
    g_assert_no_errno(rename(image, moved));
    g_free(make_disk(f));
    g_autoptr(TestProcess) ctl =
        test_ctl(f->sandbox, "--name=" SOURCE, "snapshot", "wrong", "--keep-running", NULL);
    if (test_process_wait_exit(ctl) != 1 || strstr(ctl->err->str, text) == NULL)
        test_process_fail(ctl, "it does not say \"%s\"", text);
    g_assert_no_errno(rename(moved, image));
    test_save(f->sandbox, SOURCE, TEST_SNAPSHOT, NULL);
    test_launcher_assert_exit(f->launcher, 0);
}

/* ---- What is read ---- */

/* Neither what QEMU does with it, which opens it for writing, nor what the guest writes touches the
 * RAM; whoever read it would find it damaged. */
static void test_untouched(gconstpointer data)
{
    g_autoptr(TestInstance) f = SAVE();
    g_autofree char *path = test_snapshot_path(f->sandbox, TEST_SNAPSHOT);
    g_autofree char *ram = g_build_filename(path, CVD_SNAPSHOT_RAM, NULL);

    test_snapshot_record_other_digest(path, CVD_SNAPSHOT_RAM);
    for (guint i = 0; i < 3; i++) {
        g_autoptr(TestClone) clone = run_clone(f, NULL);
        test_ping(clone->client_socket, "sensors");
        g_free(test_clone_ctl(clone, "reset", NULL));
        test_launcher_wait_guest(f->sandbox, CLONE, 1);
        test_clone_stop(clone);
        g_assert_false(test_process_has_err(clone->launcher, "reading"));
    }
    g_assert_no_errno(chmod(ram, 0600));
    assert_refused(f, TEST_SNAPSHOT, NULL, 2, ARGS("damaged: ram: its SHA-256"));
}

/* ---- An end in the middle ---- */

/* A QEMU that says nothing is ended. */
static void test_interrupted(gconstpointer data)
{
    g_autoptr(TestInstance) f = SAVE();
    g_autofree char *said = test_sandbox_write(f->sandbox, "said", "");
    g_autofree char *script = g_strdup_printf("#!/bin/sh\necho here >%s\nexec sleep 1000\n", said);
    g_autofree char *qemu = test_sandbox_write_script(f->sandbox, "qemu", script);
    g_autofree char *argument = g_strconcat("--set=qemu.binary=", qemu, NULL);
    g_autoptr(TestClone) clone = test_clone_start(f->sandbox, CLONE, TEST_SNAPSHOT, ARGS(argument));

    test_wait_file(said, "here", 1);
    test_clone_stop(clone);
    test_sandbox_assert_clean(f->sandbox, TEST_NOTHING_LEFT);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define ADD(path, data, test) test_add_unless("/restore/" path, data, test, test_why_no_guest)
    ADD("content", NULL, test_content);
    ADD("migration-is-whole", NULL, test_migration_is_whole);
    ADD("doorbells", NULL, test_doorbells);
    ADD("reset", NULL, test_reset);
    ADD("restarts", NULL, test_restarts);
    ADD("restarts-with-shared-memory", "--set=qemu.memory_shared=true", test_restarts);
    ADD("paused", NULL, test_paused);
    ADD("ready", NULL, test_ready);
    ADD("ready-by-a-line", "--set=lifecycle.ready_pattern=cvd-guest: ready", test_ready);
    ADD("detached", NULL, test_detached);
    ADD("compressed", NULL, test_compressed);
    test_add_unless("/restore/read-only-place", NULL, test_read_only_place, test_why_no_mount);
    ADD("of-a-clone", NULL, test_of_a_clone);
    ADD("deletion", NULL, test_deletion);
    ADD("configuration", NULL, test_configuration);
    ADD("other-configuration", NULL, test_other_configuration);
    ADD("other-qemu", NULL, test_other_qemu);
    ADD("other-machine", NULL, test_other_machine);
    ADD("broken-state", NULL, test_broken_state);
    ADD("new-qemu", NULL, test_new_qemu);
    ADD("damages", NULL, test_damages);
    ADD("untouched", NULL, test_untouched);
    ADD("programs", NULL, test_programs);
    test_add_unless("/restore/disks", NULL, test_disks, why_no_qemu_img);
    test_add_unless("/restore/other-disk", NULL, test_other_disk, why_no_qemu_img);
    test_add_unless("/restore/disks-of-another-user", "--set=qemu.run_as=nobody", test_disks,
                    why_no_other_user);
    ADD("interrupted", NULL, test_interrupted);
    return g_test_run();
}
