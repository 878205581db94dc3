/* SPDX-License-Identifier: Apache-2.0 */
/* What the machine has for a launch. Nothing is changed, and nothing here waits. */
#include "launcher/qemu/doctor-private.h"

#include "base/instance.h"
#include "launcher/config/config.h"
#include "launcher/config/types.h"
#include "launcher/instance-dir.h"
#include "server/cgroup.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define PROFILES "/sys/kernel/security/apparmor/profiles"

/* ---- Limits and memory ---- */

void cvd_doctor_check_descriptors(Doctor *doctor)
{
    guint n_regions = doctor->config != NULL ? doctor->config->layout->n_regions : 16;
    guint n_clients = doctor->config != NULL ? doctor->config->max_clients : 0;
    guint64 needed = 2 * (guint64)n_regions + 64;
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return;
    if (limit.rlim_max < needed)
        cvd_doctor_say(doctor, VERDICT_PROBLEM,
                       "%u regions need %ju descriptors, and the hard RLIMIT_NOFILE is %ju: raise "
                       "it (ulimit -Hn, LimitNOFILE=)",
                       n_regions, needed, (guint64)limit.rlim_max);
    else if (limit.rlim_max - needed < n_clients)
        cvd_doctor_say(doctor, VERDICT_WARNING,
                       "limits.clients is %u, and the hard RLIMIT_NOFILE of %ju has room for %ju: "
                       "raise it (ulimit -Hn, LimitNOFILE=)",
                       n_clients, (guint64)limit.rlim_max, (guint64)limit.rlim_max - needed);
    else
        cvd_doctor_say(doctor, VERDICT_OK, "RLIMIT_NOFILE is enough for %u regions and %u clients",
                       n_regions, n_clients);
}

/* Only what pins memory needs it. */
void cvd_doctor_check_memlock(Doctor *doctor)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_MEMLOCK, &limit) < 0)
        return;
    if (limit.rlim_cur >= doctor->qemu->memory_bytes)
        cvd_doctor_say(doctor, VERDICT_OK, "RLIMIT_MEMLOCK is enough for the guest's memory");
    else
        cvd_doctor_say(doctor, VERDICT_OK,
                       "RLIMIT_MEMLOCK is %ju KiB, which matters only with VFIO devices of the "
                       "host or -overcommit mem-lock=on (ulimit -l, LimitMEMLOCK=)",
                       (guint64)limit.rlim_cur / 1024);
}

/* Memory that a guest never touches is not needed, so that only a preallocated window fails. */
void cvd_doctor_check_memory(Doctor *doctor)
{
    guint64 window = doctor->config->layout->window_size;
    guint64 guest = doctor->qemu->memory_bytes;
    g_autofree char *limit_file = NULL;
    guint64 n_free = cvd_cgroup_get_free_memory(NULL, &limit_file);
    guint64 n_ram = (guint64)sysconf(_SC_PHYS_PAGES) * (guint64)sysconf(_SC_PAGESIZE);
    gboolean is_fatal = n_free < window && doctor->config->window.prealloc;

    if (n_free < window + guest)
        cvd_doctor_say(
            doctor, is_fatal ? VERDICT_PROBLEM : VERDICT_WARNING,
            "the window (%ju MiB) and the guest (%ju MiB) may need more than the %ju MiB that are "
            "left to this control group: raise %s (MemoryMax=), or lower qemu.memory",
            window >> 20, guest >> 20, n_free >> 20, limit_file);
    else if (n_ram < window + guest)
        cvd_doctor_say(doctor, VERDICT_WARNING,
                       "the window (%ju MiB) and the guest (%ju MiB) may need more than this "
                       "machine's %ju MiB: lower qemu.memory",
                       window >> 20, guest >> 20, n_ram >> 20);
    else
        cvd_doctor_say(doctor, VERDICT_OK, "there is memory for the window and the guest");
}

/* Where a window that has a name is. */
void cvd_doctor_check_shm(Doctor *doctor)
{
    const char *path = doctor->config->window.path;
    g_autofree char *dir = g_path_get_dirname(path != NULL ? path : "/dev/shm/");
    struct statvfs vfs;

    if (path == NULL) {
        cvd_doctor_say(doctor, VERDICT_OK, "the window needs no room in /dev/shm");
    } else if (statvfs(dir, &vfs) < 0) {
        cvd_doctor_say(doctor, VERDICT_PROBLEM, "window.path: %s: %s; name a file in /dev/shm", dir,
                       g_strerror(errno));
    } else {
        guint64 n_free = (guint64)vfs.f_bavail * vfs.f_frsize;
        /* A file system without a limit has no blocks at all. */
        gboolean fits = vfs.f_blocks == 0 || n_free >= doctor->config->layout->window_size;
        Verdict without = doctor->config->window.prealloc ? VERDICT_PROBLEM : VERDICT_WARNING;
        cvd_doctor_say(doctor, fits ? VERDICT_OK : without,
                       "window.path: the window has %u KiB, and %ju KiB are free in %s%s",
                       doctor->config->layout->window_size >> 10, n_free >> 10, dir,
                       fits ? "" : ": free some there, or remount it (mount -o remount,size=...)");
    }
}

static guint64 read_number(const char *path)
{
    g_autofree char *text = NULL;

    return g_file_get_contents(path, &text, NULL, NULL) ? g_ascii_strtoull(text, NULL, 10) : 0;
}

void cvd_doctor_check_hugepages(Doctor *doctor)
{
    gboolean has_window = doctor->config->layout != NULL;
    guint64 size = has_window ? doctor->config->window.hugepage_size : 0;

    if (size == 0) {
        cvd_doctor_say(doctor, VERDICT_OK, "no huge pages are asked for");
        return;
    }
    g_autofree char *dir = g_strdup_printf("/sys/kernel/mm/hugepages/hugepages-%jukB", size / 1024);
    g_autofree char *path = g_build_filename(dir, "free_hugepages", NULL);
    g_autofree char *size_text = cvd_format_size(size);
    guint64 needed = (doctor->config->layout->window_size + size - 1) / size;
    guint64 n_free = read_number(path);
    g_autofree char *missing =
        g_strdup_printf("window.hugepages: the window needs %ju huge pages of %s, %ju are free: "
                        "write more into %s/nr_hugepages",
                        needed, size_text, n_free, dir);
    if (n_free >= needed)
        cvd_doctor_say(doctor, VERDICT_OK, "%ju huge pages are free", n_free);
    else if (doctor->problems == NULL)
        cvd_doctor_say(doctor, VERDICT_PROBLEM, "%s", missing);
    else
        g_warning("%s", missing); /* by the time of a start there may be more */
}

/* ---- Directories ---- */

/* Follows the way up to what is there: that is where something would have to be made. */
void cvd_doctor_check_runtime_dir(Doctor *doctor)
{
    g_autofree char *dir =
        cvd_instance_dir_path(doctor->config != NULL ? doctor->config->name : "cvd-1");
    g_autofree char *at = g_strdup(dir);
    g_autoptr(GPtrArray) problems = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GError) error = NULL;
    struct stat st;

    if (doctor->config != NULL)
        cvd_config_check_sockets(doctor->config, dir, problems);
    cvd_doctor_say_all(doctor, problems);
    while (lstat(at, &st) < 0 && strcmp(at, "/") != 0) {
        char *parent = g_path_get_dirname(at);
        g_free(at);
        at = parent;
    }
    gboolean is_there = strcmp(at, dir) == 0;
    if (!cvd_instance_check_base(&error))
        cvd_doctor_say(doctor, VERDICT_PROBLEM, "%s", error->message);
    else if (is_there && (!S_ISDIR(st.st_mode) || st.st_uid != geteuid()))
        cvd_doctor_say(doctor, VERDICT_PROBLEM,
                       "%s is not a directory of this user's: remove it, or set XDG_RUNTIME_DIR",
                       dir);
    else if (access(at, W_OK | X_OK) < 0)
        cvd_doctor_say(doctor, VERDICT_PROBLEM,
                       "the runtime directory %s cannot be made: %s: %s; set XDG_RUNTIME_DIR", dir,
                       at, g_strerror(errno));
    else
        cvd_doctor_say(doctor, VERDICT_OK, "the runtime directory %s %s", dir,
                       is_there ? "is there" : "can be made");
}

/* ---- AppArmor ---- */

/* Of the lines of all profiles, `NAME (MODE)`, that of a program, by path or name. */
static const char *find_profile(char **lines, const char *program)
{
    g_autofree char *wanted = g_path_get_basename(program);

    for (; *lines != NULL; lines++) {
        const char *mode = strstr(*lines, " (");
        g_autofree char *name = g_strndup(*lines, mode != NULL ? (gsize)(mode - *lines) : 0);
        g_autofree char *base = g_path_get_basename(name);
        if (mode != NULL && strcmp(base, wanted) == 0)
            return *lines;
    }
    return NULL;
}

static void check_qemu_profile(Doctor *doctor)
{
    g_autofree char *text = NULL;

    if (doctor->binary == NULL)
        return;
    if (!g_file_get_contents(PROFILES, &text, NULL, NULL)) {
        cvd_doctor_say(doctor, VERDICT_OK,
                       "AppArmor's profile of QEMU can be seen by root alone (aa-status)");
        return;
    }
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    const char *profile = find_profile(lines, doctor->binary);
    if (profile == NULL)
        cvd_doctor_say(doctor, VERDICT_OK, "AppArmor has no profile of QEMU");
    else if (g_str_has_suffix(profile, "(enforce)"))
        cvd_doctor_say(
            doctor, VERDICT_WARNING,
            "AppArmor confines QEMU by the profile %s, which has to allow the disks, devices and "
            "sockets: look for DENIED in the kernel's log, and add what is missing",
            profile);
    else
        cvd_doctor_say(doctor, VERDICT_OK, "AppArmor does not confine QEMU: %s", profile);
}

void cvd_doctor_check_apparmor(Doctor *doctor)
{
    g_autofree char *enabled = NULL, *profile = NULL;

    if (!g_file_get_contents("/sys/module/apparmor/parameters/enabled", &enabled, NULL, NULL) ||
        enabled[0] != 'Y') {
        cvd_doctor_say(doctor, VERDICT_OK, "AppArmor is not enabled");
        return;
    }
    if (g_file_get_contents("/proc/self/attr/current", &profile, NULL, NULL) &&
        strcmp(g_strchomp(profile), "unconfined") != 0 && *profile != '\0')
        cvd_doctor_say(
            doctor, VERDICT_WARNING,
            "AppArmor confines this program (%s), and QEMU with it: where one of them may not open "
            "something, look for DENIED in the kernel's log and allow it in the profile",
            profile);
    else
        cvd_doctor_say(doctor, VERDICT_OK, "AppArmor is enabled and does not confine this program");
    check_qemu_profile(doctor);
}
