/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Machines whose runtime directory this user may not enter, or does not know. Their launchers are
 * processes, of which everybody can see the user and the parent; the name is in the command line of
 * the launcher or of its QEMU. User and pid are the kernel's word, the name is that of the user
 * whose machine it is. Nothing here is opened but files of /proc.
 */
#include "ctl/ctl.h"

#include "base/fd.h"
#include "base/instance.h"

#include <dirent.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LAUNCHER "(cvd-launch)"
#define MAX_STAT 1024
/* QEMU's name is among its first arguments, behind those of a wrapper. */
#define MAX_ARGUMENTS (64 * 1024)
/* As of a directory: a user may have thousands of processes. */
#define MAX_OF_ONE_USER 1000

typedef struct {
    pid_t pid, parent, session;
    uid_t uid;
    gboolean is_launcher;
} Process;

static void process_free(gpointer data)
{
    CvdCtlProcess *process = data;

    g_free(process->name);
    g_free(process);
}

/* Returns: how many bytes of the file there are, up to @size; 0: it cannot be read */
static gsize read_file(int proc_fd, pid_t pid, const char *name, char *bytes, gsize size)
{
    g_autofree char *path = g_strdup_printf("%d/%s", pid, name);
    cvd_autofd fd = openat(proc_fd, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    gsize n_read = 0;
    gssize n;

    while (fd >= 0 && n_read < size && (n = read(fd, bytes + n_read, size - n_read)) > 0)
        n_read += (gsize)n;
    return n_read;
}

/* A process can call itself `a) R 1 1 1`, but no more comes after its name than the kernel says. */
static gboolean read_process(int proc_fd, pid_t pid, Process *process)
{
    g_autofree char *entry = g_strdup_printf("%d", pid);
    char text[MAX_STAT + 1];
    char state;
    struct stat st;

    text[read_file(proc_fd, pid, "stat", text, MAX_STAT)] = '\0';
    const char *name = strchr(text, '('), *end = strrchr(text, ')');
    *process = (Process){.pid = pid};
    if (name == NULL || end == NULL || fstatat(proc_fd, entry, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
        sscanf(end + 1, " %c %d %*d %d", &state, &process->parent, &process->session) != 3)
        return FALSE;
    process->uid = st.st_uid;
    process->is_launcher = g_str_has_prefix(name, LAUNCHER) && name + strlen(LAUNCHER) == end + 1;
    return state != 'Z';
}

static GArray *read_all(int proc_fd)
{
    GArray *all = g_array_new(FALSE, FALSE, sizeof(Process));
    int list_fd = openat(proc_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = list_fd >= 0 ? fdopendir(list_fd) : NULL;
    const struct dirent *entry;
    Process process;
    guint64 pid;

    while (list != NULL && (entry = readdir(list)) != NULL)
        if (g_ascii_string_to_unsigned(entry->d_name, 10, 1, G_MAXINT, &pid, NULL) &&
            read_process(proc_fd, (pid_t)pid, &process))
            g_array_append_val(all, process);
    if (list != NULL)
        closedir(list);
    return all;
}

/* Returns: (nullable): what @word, after which @next comes, says of @option */
static const char *get_value(const char *word, const char *next, const char *option)
{
    gsize length = strlen(option);

    if (strcmp(word, option) == 0)
        return next;
    return g_str_has_prefix(option, "--") && g_str_has_prefix(word, option) && word[length] == '='
               ? word + length + 1
               : NULL;
}

/* Returns: (transfer full) (nullable): the instance that one of @options names */
static char *find_argument(int proc_fd, pid_t pid, const char *const *options)
{
    g_autofree char *words = g_malloc0(MAX_ARGUMENTS + 2);
    gsize size = read_file(proc_fd, pid, "cmdline", words, MAX_ARGUMENTS);

    for (const char *word = words, *next; word < words + size; word = next) {
        next = word + strlen(word) + 1;
        for (const char *const *option = options; *option != NULL; option++) {
            const char *value = get_value(word, next, *option);
            if (value != NULL && cvd_instance_check_name(value, NULL))
                return g_strdup(value);
        }
    }
    return NULL;
}

static char *find_name(int proc_fd, const GArray *all, const Process *launcher)
{
    static const char *const of_launcher[] = {"-n", "--name", NULL};
    static const char *const of_qemu[] = {"-name", NULL};
    char *name = find_argument(proc_fd, launcher->pid, of_launcher);

    for (guint i = 0; i < all->len && name == NULL; i++) {
        const Process *child = &g_array_index(all, Process, i);
        if (child->parent == launcher->pid && !child->is_launcher)
            name = find_argument(proc_fd, child->pid, of_qemu);
    }
    return name;
}

/* A launcher in the foreground has the machine's in a session of its own; a child in that of its
 * launcher is about to become another program. */
static gboolean is_machine(const GArray *all, const Process *process)
{
    if (!process->is_launcher)
        return FALSE;
    for (guint i = 0; i < all->len; i++) {
        const Process *other = &g_array_index(all, Process, i);
        if (other->is_launcher && other->parent == process->pid && other->session == other->pid)
            return FALSE;
        if (other->is_launcher && process->parent == other->pid && process->session != process->pid)
            return FALSE;
    }
    return TRUE;
}

static int compare(gconstpointer a, gconstpointer b)
{
    const Process *one = a, *other = b;

    if (one->uid != other->uid)
        return one->uid < other->uid ? -1 : 1;
    return one->pid < other->pid ? -1 : 1;
}

GPtrArray *cvd_ctl_list_processes(const char *proc)
{
    GPtrArray *found = g_ptr_array_new_with_free_func(process_free);
    cvd_autofd proc_fd = open(proc, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    g_autoptr(GArray) all = read_all(proc_fd);
    guint n_of_user = 0;

    g_array_sort(all, compare);
    for (guint i = 0; i < all->len; i++) {
        const Process *process = &g_array_index(all, Process, i);
        if (i > 0 && process->uid != g_array_index(all, Process, i - 1).uid)
            n_of_user = 0;
        n_of_user += process->is_launcher ? 1 : 0;
        if (n_of_user > MAX_OF_ONE_USER || !is_machine(all, process))
            continue;
        CvdCtlProcess *machine = g_new0(CvdCtlProcess, 1);
        *machine = (CvdCtlProcess){process->pid, process->uid, find_name(proc_fd, all, process)};
        g_ptr_array_add(found, machine);
    }
    return found;
}

/* ---- Users ---- */

uid_t cvd_ctl_get_owner(const char *dir)
{
    g_autofree char *place = g_path_get_dirname(dir);
    struct stat st;

    return lstat(place, &st) == 0 ? st.st_uid : geteuid();
}

char *cvd_ctl_get_user(uid_t uid)
{
    const struct passwd *user = getpwuid(uid);

    return user != NULL ? g_strdup(user->pw_name) : g_strdup_printf("%u", uid);
}
