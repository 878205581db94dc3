/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An instance runs when something listens on its control socket. That is the one question whose
 * answer is the same in every namespace; pids are not, and /proc/locks may be masked.
 *
 * Directories that instances are looked for in may be another user's, who could put there what
 * leads to an instance of somebody else. So no link is followed from there on, and whoever listens
 * has to be the user whose place it is, by the kernel's word: that holds whatever is changed
 * between a look and a connection.
 */
#include "base/instance.h"

#include "base/error.h"
#include "base/fd.h"
#include "base/group-name.h"
#include "base/lock-file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_NAME  32
#define MAX_NAMED 16 /* instances in a message */
/* Of another user's directory, which could keep root looking for ever. */
#define MAX_ENTRIES 1000

/* Returns: (transfer full) (nullable): where all instances are, if somebody has said so. A link of
 * this user's stands for what it leads to. */
static char *get_only_place(void)
{
    const char *dir = g_getenv("CVD_RUNTIME_DIR");
    char real[PATH_MAX];
    struct stat st;

    if (dir == NULL || dir[0] == '\0')
        return NULL;
    if (g_path_is_absolute(dir) && lstat(dir, &st) == 0 && S_ISLNK(st.st_mode) &&
        st.st_uid == geteuid() && realpath(dir, real) != NULL)
        return g_strdup(real);
    return g_strdup(dir);
}

static void add_once(GPtrArray *texts, char *take_text)
{
    if (g_ptr_array_find_with_equal_func(texts, take_text, g_str_equal, NULL))
        g_free(take_text);
    else
        g_ptr_array_add(texts, take_text);
}

static gboolean is_same_directory(const char *one, const char *other)
{
    struct stat first, second;

    return lstat(one, &first) == 0 && lstat(other, &second) == 0 && S_ISDIR(first.st_mode) &&
           first.st_dev == second.st_dev && first.st_ino == second.st_ino;
}

/* By another path, as /var/run is, the same directory would have each of its instances twice. */
static void add_place(GPtrArray *places, char *take_place)
{
    for (guint i = 0; i < places->len; i++)
        if (is_same_directory(places->pdata[i], take_place)) {
            g_free(take_place);
            return;
        }
    add_once(places, take_place);
}

/* One that is not there yet can still be made by whoever names it. */
static gboolean is_own_or_missing(const char *dir)
{
    struct stat st;

    return stat(dir, &st) < 0 || st.st_uid == geteuid();
}

char **cvd_instance_get_places(void)
{
    GPtrArray *places = g_ptr_array_new();
    const char *runtime_dir = g_getenv("XDG_RUNTIME_DIR");
    g_autofree char *only_place = get_only_place();
    g_autofree char *usual_dir = g_strdup_printf("/run/user/%u", geteuid());

    if (only_place != NULL) {
        g_ptr_array_add(places, g_steal_pointer(&only_place));
        g_ptr_array_add(places, NULL);
        return (char **)g_ptr_array_free(places, FALSE);
    }
    if (runtime_dir != NULL && g_path_is_absolute(runtime_dir) && is_own_or_missing(runtime_dir))
        add_place(places, g_build_filename(runtime_dir, "cvd", NULL));
    if (geteuid() == 0)
        add_place(places, g_strdup("/run/cvd"));
    if (g_file_test(usual_dir, G_FILE_TEST_IS_DIR) && is_own_or_missing(usual_dir))
        add_place(places, g_build_filename(usual_dir, "cvd", NULL));
    add_place(places, g_strdup_printf("%s/cvd-%u", g_get_tmp_dir(), geteuid()));
    add_place(places, g_strdup_printf("/tmp/cvd-%u", geteuid()));
    g_ptr_array_add(places, NULL);
    return (char **)g_ptr_array_free(places, FALSE);
}

char *cvd_instance_base_path(void)
{
    g_auto(GStrv) places = cvd_instance_get_places();

    return g_strdup(places[0]);
}

gboolean cvd_instance_check_base(GError **error)
{
    g_autofree char *place = get_only_place();
    struct stat st;

    if (place == NULL)
        return TRUE;
    if (!g_path_is_absolute(place))
        return cvd_fail(error, CVD_ERROR_INVALID, "CVD_RUNTIME_DIR: %s is not an absolute path",
                        place);
    if (lstat(place, &st) < 0 ||
        (S_ISDIR(st.st_mode) && st.st_uid == geteuid() && (st.st_mode & 077) == 0))
        return TRUE;
    return cvd_fail(error, CVD_ERROR_FOREIGN,
                    "CVD_RUNTIME_DIR: %s is not a directory that uid %u has for itself, with mode "
                    "0700",
                    place, geteuid());
}

gboolean cvd_instance_is_own_place(const char *place)
{
    struct stat st;

    return lstat(place, &st) == 0 && st.st_uid == geteuid();
}

/* ---- Reaching one ---- */

static gboolean check_dir(const char *dir, uid_t *owner, GError **error)
{
    g_autofree char *place = g_path_get_dirname(dir);
    struct stat above, st;

    if (lstat(place, &above) < 0 || lstat(dir, &st) < 0)
        return cvd_set_error_errno(error, CVD_ERROR_CLOSED, errno, "%s", dir);
    *owner = above.st_uid;
    if (!S_ISDIR(st.st_mode))
        return cvd_fail(error, CVD_ERROR_FOREIGN,
                        "%s: is not a directory; remove it, as a link is not followed here", dir);
    return st.st_uid == *owner ||
           cvd_fail(error, CVD_ERROR_FOREIGN, "%s: belongs to uid %u, but %s to uid %u", dir,
                    st.st_uid, place, *owner);
}

static gboolean check_socket(const char *path, uid_t owner, GError **error)
{
    struct stat st;

    if (lstat(path, &st) < 0)
        return cvd_set_error_errno(error, CVD_ERROR_CLOSED, errno, "%s", path);
    return (S_ISSOCK(st.st_mode) && st.st_uid == owner) ||
           cvd_fail(error, CVD_ERROR_FOREIGN,
                    "%s: is not a socket of uid %u; remove it, as a link is not followed here",
                    path, owner);
}

static struct ucred get_peer(int fd)
{
    struct ucred peer = {.uid = (uid_t)-1};
    socklen_t size = sizeof peer;

    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size);
    return peer;
}

int cvd_instance_connect(const char *dir, GError **error)
{
    g_autofree char *path = g_build_filename(dir, "control.sock", NULL);
    uid_t owner;

    if (!check_dir(dir, &owner, error) || !check_socket(path, owner, error))
        return -1;
    cvd_autofd fd = cvd_socket_connect(path);
    if (fd < 0) {
        cvd_set_error_errno(error, errno == EAGAIN ? CVD_ERROR_BUSY : CVD_ERROR_CLOSED, errno, "%s",
                            path);
        return -1;
    }
    if (get_peer(fd).uid == owner)
        return g_steal_fd(&fd);
    cvd_fail(error, CVD_ERROR_FOREIGN, "%s: belongs to uid %u, but uid %u listens there", path,
             owner, get_peer(fd).uid);
    return -1;
}

/* A full queue of those who wait to be let in is an answer, too. */
pid_t cvd_instance_get_pid(const char *dir)
{
    g_autoptr(GError) error = NULL;
    cvd_autofd fd = cvd_instance_connect(dir, &error);

    if (fd < 0)
        return g_error_matches(error, CVD_ERROR, CVD_ERROR_BUSY) ? -1 : 0;
    pid_t pid = get_peer(fd).pid;
    return pid != 0 ? pid : -1;
}

gboolean cvd_instance_is_running(const char *dir)
{
    return cvd_instance_get_pid(dir) != 0;
}

/* A lock of a directory that others may open means nothing. */
gboolean cvd_instance_is_held(const char *dir)
{
    cvd_autofd fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct stat st;

    return cvd_instance_is_running(dir) ||
           (fd >= 0 && fstat(fd, &st) == 0 && (st.st_mode & 077) == 0 &&
            flock(fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK);
}

/* One that ends by itself removes its lock file before it unlocks the directory, which, other than
 * the file, may be held for a moment without keeping a launcher from its start. */
gboolean cvd_instance_has_crashed(const char *dir)
{
    cvd_autofd dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    cvd_autofd lock_fd = openat(dir_fd, "lock", O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

    return lock_fd >= 0 && cvd_lock_file_read_pid(lock_fd) > 0 &&
           flock(dir_fd, LOCK_SH | LOCK_NB) == 0 && !cvd_instance_is_running(dir);
}

/* As docs/cvd-launch.1 has it. */
static gboolean is_name(const char *name)
{
    gsize size = strlen(name);

    return g_ascii_isalnum(name[0]) && size <= MAX_NAME &&
           strspn(name, G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS "_.-") == size;
}

static gboolean is_one(const char *dir, CvdInstances which)
{
    g_autofree char *record = g_build_filename(dir, "failure.json", NULL);
    struct stat st;
    uid_t owner;

    if (which == CVD_INSTANCES_RUNNING)
        return cvd_instance_is_running(dir);
    return check_dir(dir, &owner, NULL) &&
           (cvd_instance_has_crashed(dir) ||
            (lstat(record, &st) == 0 && S_ISREG(st.st_mode) && !cvd_instance_is_running(dir)));
}

static int compare_dirs(gconstpointer a, gconstpointer b)
{
    const char *one = *(const char *const *)a, *other = *(const char *const *)b;
    int by_name = cvd_group_name_compare(strrchr(one, '/') + 1, strrchr(other, '/') + 1);

    return by_name != 0 ? by_name : strcmp(one, other);
}

/* In /tmp anybody could have made it, to have us talk to a server of theirs. */
static gboolean check_owner(const char *place, uid_t owner, GError **error)
{
    struct stat st;

    if (lstat(place, &st) < 0 || (S_ISDIR(st.st_mode) && st.st_uid == owner))
        return TRUE;
    return cvd_fail(error, CVD_ERROR_FOREIGN,
                    "%s: is not a directory of uid %u; set XDG_RUNTIME_DIR", place, owner);
}

/* @name: NULL: any */
static void add_found(GPtrArray *dirs, const char *place, uid_t owner, const char *name,
                      CvdInstances which, GError **error)
{
    g_autoptr(GError) local_error = NULL;
    guint n_left = owner == geteuid() ? G_MAXUINT : MAX_ENTRIES;
    const char *entry;

    if (!check_owner(place, owner, error))
        return;
    g_autoptr(GDir) dir = g_dir_open(place, 0, &local_error);
    if (dir == NULL && !g_error_matches(local_error, G_FILE_ERROR, G_FILE_ERROR_NOENT))
        g_set_error_literal(error, CVD_ERROR, CVD_ERROR_FAILED, local_error->message);
    while (dir != NULL && n_left-- > 0 && (entry = g_dir_read_name(dir)) != NULL) {
        g_autofree char *path = g_build_filename(place, entry, NULL);
        if ((name == NULL ? is_name(entry) : strcmp(entry, name) == 0) && is_one(path, which))
            g_ptr_array_add(dirs, g_steal_pointer(&path));
    }
}

/* Directories PREFIX<uid>SUFFIX of users, for root, whom each instance lets in. */
static void add_found_of_others(GPtrArray *dirs, const char *parent, const char *prefix,
                                const char *suffix, const char *name, CvdInstances which)
{
    g_autoptr(GDir) dir = g_dir_open(parent, 0, NULL);
    const char *entry;

    while (dir != NULL && (entry = g_dir_read_name(dir)) != NULL) {
        guint64 uid;
        if (!g_str_has_prefix(entry, prefix) ||
            !g_ascii_string_to_unsigned(entry + strlen(prefix), 10, 1, G_MAXUINT32 - 1, &uid, NULL))
            continue;
        g_autofree char *place = g_build_filename(parent, entry, suffix, NULL);
        g_autoptr(GError) error = NULL;
        add_found(dirs, place, (uid_t)uid, name, which, &error);
    }
}

typedef enum {
    OWN = 1 << 0,
    OTHERS = 1 << 1, /* none, unless root asks */
} Whose;

/* A place that cannot be looked into is an error only if nothing is found elsewhere. */
static GPtrArray *find(const char *name, CvdInstances which, Whose whose, GError **error)
{
    g_autoptr(GPtrArray) dirs = g_ptr_array_new_with_free_func(g_free);
    g_auto(GStrv) places = cvd_instance_get_places();
    g_autofree char *only_place = get_only_place();
    g_autoptr(GError) first_error = NULL;

    if (!cvd_instance_check_base(error))
        return NULL;
    for (char **place = places; *place != NULL && (whose & OWN) != 0; place++)
        add_found(dirs, *place, geteuid(), name, which, first_error == NULL ? &first_error : NULL);
    if (geteuid() == 0 && (whose & OTHERS) != 0 && only_place == NULL) {
        add_found_of_others(dirs, "/run/user", "", "cvd", name, which);
        add_found_of_others(dirs, "/tmp", "cvd-", NULL, name, which);
    }
    g_ptr_array_sort(dirs, compare_dirs);
    if (dirs->len > 0 || first_error == NULL)
        return g_steal_pointer(&dirs);
    g_propagate_error(error, g_steal_pointer(&first_error));
    return NULL;
}

static char *join_names(GPtrArray *dirs, gboolean with_path)
{
    g_autoptr(GString) text = g_string_new(NULL);

    for (guint i = 0; i < dirs->len && i < MAX_NAMED; i++) {
        const char *dir = g_ptr_array_index(dirs, i);
        g_string_append_printf(text, "%s%s", i > 0 ? ", " : "",
                               with_path ? dir : strrchr(dir, '/') + 1);
    }
    if (dirs->len > MAX_NAMED)
        g_string_append(text, ", …");
    return g_string_free(g_steal_pointer(&text), FALSE);
}

/* What is there under that name, and is not followed, says more than that nothing runs. */
static gboolean explain_foreign(char **places, const char *name, GError **error)
{
    for (char **place = places; *place != NULL; place++) {
        g_autofree char *dir = g_build_filename(*place, name, NULL);
        g_autoptr(GError) reason = NULL;
        cvd_autofd fd = cvd_instance_is_own_place(*place) ? cvd_instance_connect(dir, &reason) : -1;
        if (fd < 0 && g_error_matches(reason, CVD_ERROR, CVD_ERROR_FOREIGN)) {
            cvd_pass_error(error, &reason);
            return TRUE;
        }
    }
    return FALSE;
}

static void set_error_none(const char *name, GError **error)
{
    g_auto(GStrv) places = cvd_instance_get_places();
    g_autofree char *all = g_strjoinv(", ", places);

    if (name == NULL)
        g_set_error(error, CVD_ERROR, CVD_ERROR_CLOSED,
                    "no instance runs (looked in %s); start one with cvd-launch", all);
    else if (!explain_foreign(places, name, error))
        g_set_error(error, CVD_ERROR, CVD_ERROR_CLOSED, "instance '%s' does not run (looked in %s)",
                    name, all);
}

/* Root means its own where there is one. */
static char *find_running(const char *name, GError **error)
{
    g_autoptr(GPtrArray) dirs = find(name, CVD_INSTANCES_RUNNING, OWN, error);

    if (dirs != NULL && dirs->len == 0) {
        g_ptr_array_unref(dirs);
        dirs = find(name, CVD_INSTANCES_RUNNING, OTHERS, error);
    }
    if (dirs == NULL)
        return NULL;
    if (dirs->len == 1)
        return g_strdup(g_ptr_array_index(dirs, 0));
    if (dirs->len == 0) {
        set_error_none(name, error);
        return NULL;
    }
    g_autofree char *all = join_names(dirs, name != NULL);
    g_set_error(error, CVD_ERROR, CVD_ERROR_BUSY, "%u instances run: %s; choose with %s", dirs->len,
                all, name != NULL ? "CVD_RUNTIME_DIR" : "--name");
    return NULL;
}

gboolean cvd_instance_check_name(const char *name, GError **error)
{
    if (is_name(name))
        return TRUE;
    return cvd_fail(error, CVD_ERROR_INVALID, "'%s' is no instance's name", name);
}

char *cvd_instance_parse_log(const char *file)
{
    const char *suffix = g_str_has_suffix(file, ".log.1") ? ".log.1" : ".log";
    g_autofree char *name =
        g_str_has_suffix(file, suffix) ? g_strndup(file, strlen(file) - strlen(suffix)) : NULL;

    return name != NULL && is_name(name) ? g_steal_pointer(&name) : NULL;
}

GPtrArray *cvd_instance_list(CvdInstances which, GError **error)
{
    return find(NULL, which, OWN | OTHERS, error);
}

char **cvd_instance_list_groups(void)
{
    GPtrArray *groups = g_ptr_array_new();

    for (CvdInstances which = CVD_INSTANCES_RUNNING; which <= CVD_INSTANCES_FAILED; which++) {
        g_autoptr(GPtrArray) dirs = cvd_instance_list(which, NULL);
        for (guint i = 0; dirs != NULL && i < dirs->len; i++) {
            char *group = cvd_group_name_parse(strrchr(dirs->pdata[i], '/') + 1, NULL);
            if (group != NULL)
                add_once(groups, group);
        }
    }
    g_ptr_array_add(groups, NULL);
    return (char **)g_ptr_array_free(groups, FALSE);
}

char *cvd_instance_get_dir(const char *name, GError **error)
{
    static const Whose order[] = {OWN, OTHERS}; /* root means its own where there is one */
    g_autofree char *base = cvd_instance_base_path();

    if (!cvd_instance_check_name(name, error))
        return NULL;
    for (guint i = 0; i < G_N_ELEMENTS(order); i++)
        for (CvdInstances which = CVD_INSTANCES_RUNNING; which <= CVD_INSTANCES_FAILED; which++) {
            g_autoptr(GPtrArray) dirs = find(name, which, order[i], error);
            if (dirs == NULL)
                return NULL;
            if (dirs->len > 0)
                return g_strdup(g_ptr_array_index(dirs, 0));
        }
    return g_build_filename(base, name, NULL);
}

char *cvd_instance_find_socket(const char *name, const char *file, GError **error)
{
    g_autoptr(GError) reason = NULL;
    uid_t owner;

    if (name != NULL && !cvd_instance_check_name(name, error))
        return NULL;
    g_autofree char *dir = find_running(name, error);
    if (dir == NULL)
        return NULL;
    g_autofree char *path = g_build_filename(dir, file, NULL);
    if (check_dir(dir, &owner, &reason) && check_socket(path, owner, &reason))
        return g_steal_pointer(&path);
    g_set_error(error, CVD_ERROR, reason->code,
                "%s (if the configuration puts it elsewhere, give --socket)", reason->message);
    return NULL;
}
