/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is decided about a snapshot before anything is started: whose configuration counts, how RAM
 * is had, and that all of it is as it was written.
 *
 * RAM is mapped from the snapshot, so that machines share it and nobody reads it first. QEMU opens
 * that file by /proc, which leads past the directory's mode but not past the file's own. Where it
 * cannot, where RAM is packed, and where it would punch holes into the file, one copy in memory
 * takes the file's place for all VMs of the launch; that one is sealed, so that QEMU cannot change
 * it.
 */
#include "launcher/restore.h"

#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "launcher/config/executable.h"
#include "launcher/config/run-as.h"
#include "launcher/qemu/doctor-run.h"
#include "launcher/qemu/ram.h"
#include "launcher/qemu/state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROBE_LIMIT_MS 5000
/* From here on it takes long enough to be told why. */
#define MUCH_TO_UNPACK  (64 * 1024 * 1024)
#define LONG_TO_READ_US (300 * G_TIME_SPAN_MILLISECOND)

CvdRestore *cvd_restore_open(const char *from, GError **error)
{
    g_autofree char *path = cvd_snapshot_get_path(from, error);
    CvdSnapshot *snapshot = path != NULL ? cvd_snapshot_open(path, error) : NULL;

    if (snapshot == NULL)
        return NULL;
    CvdRestore *restore = g_new(CvdRestore, 1);
    *restore = (CvdRestore){.name = g_strdup(from),
                            .snapshot = snapshot,
                            .info = cvd_snapshot_get_info(snapshot),
                            .config_opened = g_strdup_printf("/proc/self/fd/%d/%s",
                                                             cvd_snapshot_get_dir_fd(snapshot),
                                                             CVD_SNAPSHOT_CONFIG),
                            .ram_fd = -1,
                            .state_fd = -1};
    return restore;
}

void cvd_restore_free(CvdRestore *restore)
{
    cvd_close_fd(&restore->ram_fd);
    cvd_close_fd(&restore->state_fd);
    cvd_snapshot_free(restore->snapshot);
    g_free(restore->config_opened);
    g_free(restore->qemu_img);
    g_free(restore->name);
    g_free(restore);
}

char *cvd_restore_get_config_path(const CvdRestore *restore)
{
    return g_build_filename(cvd_snapshot_get_dir(restore->snapshot), CVD_SNAPSHOT_CONFIG, NULL);
}

CvdConfigSource cvd_restore_get_source(const CvdRestore *restore, const char *path)
{
    return (CvdConfigSource){
        .path = path,
        .opened = restore->config_opened,
        .directory = restore->info->config_directory,
        .qemu_directory = restore->info->qemu_directory,
    };
}

/* ---- What the machine needs ---- */

static gboolean is_accel(const char *accel, const char *name)
{
    gsize length = strlen(name);

    return strncmp(accel, name, length) == 0 && (accel[length] == '\0' || accel[length] == ',');
}

/* What a guest has seen of its processor it still has to see: the first choice may be another. */
static void narrow_accel(const CvdRestore *restore, CvdQemuTools *tools, GPtrArray *problems)
{
    const char *saved = restore->info->accel;
    g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
    gboolean is_any = FALSE;

    for (char **accel = tools->accel; *accel != NULL; accel++) {
        if (!is_accel(*accel, saved))
            continue;
        g_strv_builder_add(builder, *accel);
        is_any = TRUE;
    }
    if (*tools->accel != NULL && !is_any)
        cvd_problem(problems,
                    "qemu.accel: snapshot %s was taken under %s, and here the guest would run "
                    "under %s%s%s; %s",
                    restore->name, saved, tools->accel[0], tools->refused != NULL ? ": " : "",
                    tools->refused != NULL ? tools->refused : "",
                    strcmp(saved, "kvm") == 0 ? "start it where KVM can be used"
                                              : "set qemu.accel to what it was taken under");
    g_strfreev(tools->accel);
    tools->accel = g_strv_builder_end(builder);
}

/* Only QEMU 8.2 and newer have it, and another version than the snapshot's is refused. */
static gboolean probe_rom(const CvdRestore *restore, const char *binary)
{
    int major = 0, minor = 0;
    CvdDoctorEnd end;

    if (sscanf(restore->info->qemu_version, "%d.%d", &major, &minor) != 2 || major < 8 ||
        (major == 8 && minor < 2))
        return FALSE;
    g_autofree char *output =
        cvd_doctor_run((const char *const[]){binary, "-object", "memory-backend-file,help", NULL},
                       NULL, PROBE_LIMIT_MS, &end);
    return end == CVD_DOCTOR_SUCCEEDED && strstr(output, " rom=") != NULL;
}

static gboolean try_open(const char *path, int flags)
{
    cvd_autofd fd = open(path, flags | O_CLOEXEC);

    return fd >= 0;
}

/* As QEMU will, and as whom. */
static gboolean can_qemu_open(int fd, int flags, const CvdRunAs *run_as)
{
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", fd);
    int status = 0;

    if (run_as == NULL || geteuid() != 0)
        return try_open(path, flags);
    pid_t pid = fork();
    if (pid == 0)
        _exit(cvd_run_as_enter(run_as) < 0 || !try_open(path, flags));
    return pid > 0 && TEMP_FAILURE_RETRY(waitpid(pid, &status, 0)) == pid && WIFEXITED(status) &&
           WEXITSTATUS(status) == 0;
}

static gboolean names_balloon(char **texts)
{
    for (; *texts != NULL; texts++)
        if (strstr(*texts, "virtio-balloon") != NULL)
            return TRUE;
    return FALSE;
}

/* What a guest gives back QEMU takes out of the file, though its mapping is private: all machines
 * of the snapshot would find zeros there. */
static gboolean may_punch(const CvdRestore *restore, const CvdQemuConfig *qemu)
{
    return !restore->has_rom && (names_balloon(qemu->devices) || names_balloon(qemu->extra_args));
}

/* Sets @ram, and @ram_fd where it is the snapshot's own file. */
static gboolean choose_ram(CvdRestore *restore, const CvdConfig *config, GError **error)
{
    int flags = restore->has_rom ? O_RDONLY : O_RDWR;

    restore->ram = !restore->info->has_ram      ? CVD_RESTORE_RAM_IN_STATE
                   : config->qemu.memory_shared ? CVD_RESTORE_RAM_COPIED
                                                : CVD_RESTORE_RAM_PRIVATE;
    if (restore->ram != CVD_RESTORE_RAM_PRIVATE || restore->info->is_compressed)
        return TRUE;
    cvd_autofd fd = cvd_snapshot_open_file(restore->snapshot, CVD_SNAPSHOT_RAM, error);
    if (fd >= 0 && !may_punch(restore, &config->qemu) &&
        can_qemu_open(fd, flags, config->qemu.run_as))
        restore->ram_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    return fd >= 0;
}

static void find_qemu_img(CvdRestore *restore, GPtrArray *problems)
{
    g_autofree char *why = NULL;

    restore->qemu_img = cvd_executable_find("qemu-img", &why);
    if (restore->qemu_img == NULL)
        cvd_problem(problems,
                    "%s; install it (apt install qemu-utils), as snapshot %s has disks, of which "
                    "it makes overlays",
                    why, restore->name);
}

gboolean cvd_restore_probe(CvdRestore *restore, const CvdConfig *config, CvdQemuTools *tools,
                           GPtrArray *problems)
{
    guint n_before = problems->len;
    g_autoptr(GError) error = NULL;

    if (tools->accel != NULL)
        narrow_accel(restore, tools, problems);
    if (restore->info->disks->len > 0)
        find_qemu_img(restore, problems);
    restore->has_rom = tools->binary != NULL && probe_rom(restore, tools->binary);
    if (!choose_ram(restore, config, &error))
        cvd_problem(problems, "%s", error->message);
    return problems->len == n_before;
}

/* ---- What has to be read ---- */

typedef struct {
    const CvdRestore *restore;
    gint64 begin_us;
    gboolean is_told;
} Progress;

static void on_progress(gpointer data, guint64 done, guint64 total)
{
    Progress *progress = data;

    if (progress->is_told || total <= CVD_SNAPSHOT_TRUSTED_SIZE ||
        g_get_monotonic_time() - progress->begin_us < LONG_TO_READ_US)
        return;
    progress->is_told = TRUE;
    g_message("reading %ju MiB of snapshot %s, to see whether they are as they were written",
              total / (1024 * 1024), progress->restore->name);
}

/* Returns: the descriptor of memory that nobody can change any more; −1 on failure */
static int unpack(const CvdRestore *restore, GError **error)
{
    gboolean is_compressed = restore->info->is_compressed;
    cvd_autofd fd = cvd_ram_new_template(restore->info->memory_bytes, error);

    if (fd < 0)
        return -1;
    if (restore->info->memory_bytes >= MUCH_TO_UNPACK)
        g_message("%s %ju MiB of memory of snapshot %s", is_compressed ? "unpacking" : "copying",
                  restore->info->memory_bytes / (1024 * 1024), restore->name);
    if (cvd_snapshot_copy_out(restore->snapshot, cvd_restore_get_ram_file(restore), fd, NULL,
                              error) &&
        cvd_ram_seal_template(fd, error))
        return g_steal_fd(&fd);
    return -1;
}

/* With RAM in it there is nothing to change. Returns: a descriptor; −1 on failure */
static int make_state(const CvdRestore *restore, guint64 window_size, GError **error)
{
    gsize size = cvd_snapshot_get_size(restore->snapshot, CVD_SNAPSHOT_STATE);

    if (!restore->info->has_ram)
        return cvd_snapshot_open_file(restore->snapshot, CVD_SNAPSHOT_STATE, error);
    cvd_autofd fd = cvd_ram_new_template(size, error);
    if (fd < 0 || !cvd_snapshot_copy_out(restore->snapshot, CVD_SNAPSHOT_STATE, fd, NULL, error))
        return -1;
    guint8 *state = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (state == MAP_FAILED) {
        cvd_set_error_errno(error, CVD_ERROR_RESOURCES, errno, "QEMU's state: mmap");
        return -1;
    }
    cvd_state_unplace_window(state, size, window_size);
    munmap(state, size);
    return cvd_ram_seal_template(fd, error) ? g_steal_fd(&fd) : -1;
}

gboolean cvd_restore_verify(CvdRestore *restore, const CvdConfig *config, GError **error)
{
    Progress progress = {.restore = restore, .begin_us = g_get_monotonic_time()};

    if (!cvd_snapshot_verify(restore->snapshot, FALSE, on_progress, &progress, NULL, error))
        return FALSE;
    restore->state_fd = make_state(restore, config->layout->window_size, error);
    if (restore->state_fd < 0)
        return FALSE;
    if (restore->ram == CVD_RESTORE_RAM_PRIVATE && restore->ram_fd < 0)
        restore->ram_fd = unpack(restore, error);
    return restore->ram != CVD_RESTORE_RAM_PRIVATE || restore->ram_fd >= 0;
}

int cvd_restore_open_state(const CvdRestore *restore, GError **error)
{
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", restore->state_fd);
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        cvd_set_error_errno(error, CVD_ERROR_RESOURCES, errno, "QEMU's state: %s", path);
    return fd;
}

guint cvd_restore_get_fds(const CvdRestore *restore, int fds[CVD_RESTORE_MAX_FDS])
{
    const int all[] = {cvd_snapshot_get_dir_fd(restore->snapshot), restore->state_fd,
                       restore->ram_fd};
    guint n = 0;

    for (gsize i = 0; i < G_N_ELEMENTS(all); i++)
        if (all[i] >= 0)
            fds[n++] = all[i];
    return n;
}

const char *cvd_restore_get_ram_file(const CvdRestore *restore)
{
    return restore->info->is_compressed ? CVD_SNAPSHOT_RAM_COMPRESSED : CVD_SNAPSHOT_RAM;
}

char *cvd_restore_get_ram_path(const CvdRestore *restore)
{
    return restore->ram == CVD_RESTORE_RAM_PRIVATE && !restore->info->is_compressed
               ? g_build_filename(cvd_snapshot_get_dir(restore->snapshot), CVD_SNAPSHOT_RAM, NULL)
               : NULL;
}

CvdQemuOrigin cvd_restore_get_origin(const CvdRestore *restore)
{
    gboolean is_private = restore->ram == CVD_RESTORE_RAM_PRIVATE;

    return (CvdQemuOrigin){
        .is_incoming = TRUE,
        .is_private = is_private,
        .is_read_only = is_private && restore->has_rom,
    };
}

/* ---- What QEMU says of itself ---- */

/* Devices differ from version to version, and what comes of that the guest would find out later. */
gboolean cvd_restore_check_qemu(const CvdRestore *restore, const char *version, GError **error)
{
    return g_strcmp0(version, restore->info->qemu_version) == 0 ||
           cvd_fail(error, CVD_ERROR_INVALID,
                    "snapshot %s was taken with QEMU %s, and qemu.binary is %s%s; name one of that "
                    "version, or take the snapshot anew",
                    restore->name, restore->info->qemu_version,
                    version != NULL ? "QEMU " : "a QEMU that does not say its version",
                    version != NULL ? version : "");
}

gboolean cvd_restore_check_machine(const CvdRestore *restore, const char *type, GError **error)
{
    if (type == NULL || type[0] == '\0')
        return cvd_fail(error, CVD_ERROR_INVALID,
                        "snapshot %s is of the machine %s, and QEMU does not say which this is",
                        restore->name, restore->info->machine);
    g_autofree char *name =
        g_strndup(type, strlen(type) - (g_str_has_suffix(type, "-machine") ? 8 : 0));

    return strcmp(name, restore->info->machine) == 0 ||
           cvd_fail(error, CVD_ERROR_INVALID,
                    "snapshot %s is of the machine %s, and qemu.machine is %s; set it to %s",
                    restore->name, restore->info->machine, name, restore->info->machine);
}
