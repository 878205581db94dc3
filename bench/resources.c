/* SPDX-License-Identifier: Apache-2.0 */
/* What a machine takes of that which the kernel limits, beside memory and time. An object that
 * both processes have open counts twice, as each descriptor does. */
#include "bench/resources.h"

#include "bench/figures.h"
#include "bench/values.h"
#include "tests/support/launcher.h"

#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>

#define BLOCK_BYTES 512 /* of st_blocks, whatever the file system has */

static const struct {
    const char *key;
    const char *text;
    const char *unit;
} rows[N_RESOURCES] = {
    [RESOURCE_LAUNCHER_FDS] = {"launcher_fds", "descriptors of cvd-launch", ""},
    [RESOURCE_LAUNCHER_THREADS] = {"launcher_threads", "threads of cvd-launch", ""},
    [RESOURCE_QEMU_FDS] = {"qemu_fds", "descriptors of QEMU", ""},
    [RESOURCE_QEMU_THREADS] = {"qemu_threads", "threads of QEMU", ""},
    [RESOURCE_QEMU_MAPPINGS] = {"qemu_mappings", "mappings of QEMU", ""},
    [RESOURCE_QEMU_DATA_MB] = {"qemu_data_mb", "QEMU may write to (VmData)", "MB"},
    [RESOURCE_MEMFDS] = {"memfds", "memfds of both, by descriptor", ""},
    [RESOURCE_EVENTFDS] = {"eventfds", "eventfds of both, by descriptor", ""},
    [RESOURCE_SOCKETS] = {"sockets", "sockets of both", ""},
    [RESOURCE_TERMINALS] = {"terminals", "pseudo-terminals of both", ""},
    [RESOURCE_INOTIFY] = {"inotify", "inotify instances of both", ""},
    [RESOURCE_FILES] = {"files", "files and directories", ""},
    [RESOURCE_DISK_KIB] = {"disk_kib", "the directory on disk", "KiB"},
};

static guint count_entries(pid_t pid, const char *what)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/%s", pid, what);
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    guint n = 0;

    g_assert_nonnull(dir);
    while (g_dir_read_name(dir) != NULL)
        n++;
    return n;
}

static guint count_mappings(pid_t pid)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/maps", pid);
    g_autofree char *text = NULL;
    guint n = 0;

    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    for (const char *p = text; (p = strchr(p, '\n')) != NULL; p++)
        n++;
    return n;
}

/* What it could have of its own, which counts where memory is not overcommitted. */
static guint64 read_data_mb(pid_t pid)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/status", pid);
    g_autofree char *text = NULL;

    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    const char *value = strstr(text, "VmData:");
    g_assert_nonnull(value);
    return g_ascii_strtoull(value + strlen("VmData:"), NULL, 10) * 1024 / 1000000;
}

static void add_descriptor(Resources *resources, const char *target)
{
    static const struct {
        const char *begin;
        Resource resource;
    } kinds[] = {
        {"/memfd:", RESOURCE_MEMFDS},
        {"anon_inode:[eventfd]", RESOURCE_EVENTFDS},
        {"socket:", RESOURCE_SOCKETS},
        {"/dev/ptmx", RESOURCE_TERMINALS},
        {"anon_inode:inotify", RESOURCE_INOTIFY},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(kinds); i++)
        if (g_str_has_prefix(target, kinds[i].begin))
            resources->counts[kinds[i].resource]++;
}

static void add_descriptors(Resources *resources, pid_t pid)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/fd", pid);
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    const char *name;

    g_assert_nonnull(dir);
    while ((name = g_dir_read_name(dir)) != NULL) {
        g_autofree char *link = g_build_filename(path, name, NULL);
        g_autofree char *target = g_file_read_link(link, NULL);
        if (target != NULL)
            add_descriptor(resources, target);
    }
}

guint64 resources_read_disk_kib(const char *path, guint64 *n_files)
{
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    guint64 kib = 0;
    const char *name;
    struct stat st;

    if (g_lstat(path, &st) < 0)
        return 0;
    (*n_files)++;
    while (dir != NULL && (name = g_dir_read_name(dir)) != NULL) {
        g_autofree char *below = g_build_filename(path, name, NULL);
        kib += resources_read_disk_kib(below, n_files);
    }
    return kib + (guint64)st.st_blocks * BLOCK_BYTES / 1024;
}

void resources_add(Resources *resources, const TestClone *machine)
{
    pid_t launcher = machine->launcher->pid;
    pid_t qemu = test_launcher_find_qemu(machine->launcher);
    g_autofree char *dir = g_path_get_dirname(machine->client_socket);
    guint64 *counts = resources->counts;

    counts[RESOURCE_LAUNCHER_FDS] += count_entries(launcher, "fd");
    counts[RESOURCE_LAUNCHER_THREADS] += count_entries(launcher, "task");
    counts[RESOURCE_QEMU_FDS] += count_entries(qemu, "fd");
    counts[RESOURCE_QEMU_THREADS] += count_entries(qemu, "task");
    counts[RESOURCE_QEMU_MAPPINGS] += count_mappings(qemu);
    counts[RESOURCE_QEMU_DATA_MB] += read_data_mb(qemu);
    add_descriptors(resources, launcher);
    add_descriptors(resources, qemu);
    counts[RESOURCE_DISK_KIB] += resources_read_disk_kib(dir, &counts[RESOURCE_FILES]);
}

static void report(Resource resource, const char *key, const char *text, guint64 count)
{
    g_autoptr(GArray) values = figure_values();
    g_autofree char *full_key = g_strdup_printf("%s_%s", key, rows[resource].key);
    g_autofree char *full_text = g_strdup_printf("%s: %s", text, rows[resource].text);
    double value = (double)count;

    g_array_append_val(values, value);
    figure_report(full_key, full_text, values, rows[resource].unit, FIGURE_PLAIN, 0);
}

void resources_report(const Resources *one, const Resources *all, guint n)
{
    g_autofree char *text = g_strdup_printf("%u", n);

    for (Resource i = 0; i < N_RESOURCES; i++) {
        report(i, "one", "1", one->counts[i]);
        report(i, "all", text, all->counts[i]);
    }
}
