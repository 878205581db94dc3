/* SPDX-License-Identifier: Apache-2.0 */
/* Listening sockets at a path: the launcher's specification, section 3. */
#include "server/listener.h"

#include "base/error.h"
#include "base/fd.h"
#include "tests/unit/child.h"
#include "tests/unit/talk.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct {
    char *directory;
    char *path;
} Fixture;

static void set_up(Fixture *f, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    f->directory = g_dir_make_tmp("cvd-XXXXXX", &error);
    g_assert_no_error(error);
    f->path = g_build_filename(f->directory, "s", NULL);
}

/* Fails when anything is left in the directory. */
static void tear_down(Fixture *f, gconstpointer data)
{
    g_assert_cmpint(rmdir(f->directory), ==, 0);
    g_free(f->directory);
    g_free(f->path);
}

static void fill_address(struct sockaddr_un *address, const char *path)
{
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    g_assert_cmpuint(g_strlcpy(address->sun_path, path, sizeof address->sun_path), <,
                     sizeof address->sun_path);
}

static int bind_at(const char *path)
{
    struct sockaddr_un address;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    fill_address(&address, path);
    g_assert_cmpint(bind(fd, (struct sockaddr *)&address, sizeof address), ==, 0);
    return fd;
}

static int connect_to(const char *path)
{
    struct sockaddr_un address;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    fill_address(&address, path);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
        cvd_close_fd(&fd);
    return fd;
}

static void assert_refused(const char *path, CvdError code)
{
    g_autoptr(GError) error = NULL;
    g_assert_null(cvd_listener_new(path, 0600, NULL, &error));
    g_assert_error(error, CVD_ERROR, (int)code);
    g_assert_nonnull(strstr(error->message, path));
}

static void test_accepts_with_its_mode(Fixture *f, gconstpointer data)
{
    static const mode_t modes[] = {0600, 0660, 0666};
    mode_t umasks[] = {0, 0777};

    for (guint i = 0; i < G_N_ELEMENTS(modes); i++) {
        for (guint j = 0; j < G_N_ELEMENTS(umasks); j++) {
            g_autoptr(GError) error = NULL;
            mode_t saved = umask(umasks[j]);
            g_autoptr(CvdListener) listener = cvd_listener_new(f->path, modes[i], NULL, &error);
            umask(saved);
            g_assert_no_error(error);

            struct stat st;
            g_assert_cmpint(lstat(f->path, &st), ==, 0);
            g_assert_true(S_ISSOCK(st.st_mode));
            g_assert_cmpuint(st.st_mode & 07777, ==, modes[i]);
            cvd_autofd client = connect_to(f->path);
            g_assert_cmpint(client, >=, 0);
            cvd_autofd accepted = accept4(cvd_listener_get_fd(listener), NULL, NULL, SOCK_CLOEXEC);
            g_assert_cmpint(accepted, >=, 0);
            g_assert_cmpint(accept4(cvd_listener_get_fd(listener), NULL, NULL, 0), ==, -1);
            g_assert_cmpint(errno, ==, EAGAIN);
            g_assert_true(fcntl(cvd_listener_get_fd(listener), F_GETFD) & FD_CLOEXEC);
        }
    }
}

static void test_live_server(Fixture *f, gconstpointer data)
{
    g_autoptr(CvdListener) listener = cvd_listener_new(f->path, 0600, NULL, NULL);
    g_assert_nonnull(listener);
    assert_refused(f->path, CVD_ERROR_BUSY);
    cvd_autofd client = connect_to(f->path);
    g_assert_cmpint(client, >=, 0);
}

static void test_full_backlog_is_alive(Fixture *f, gconstpointer data)
{
    cvd_autofd server = bind_at(f->path);
    g_assert_cmpint(listen(server, 0), ==, 0);
    g_autoptr(GArray) clients = g_array_new(FALSE, FALSE, sizeof(int));
    int fd;
    while ((fd = connect_to(f->path)) >= 0)
        g_array_append_val(clients, fd);
    g_assert_cmpint(errno, ==, EAGAIN);

    assert_refused(f->path, CVD_ERROR_BUSY);
    for (guint i = 0; i < clients->len; i++)
        close(g_array_index(clients, int, i));
    g_assert_cmpint(unlink(f->path), ==, 0);
}

static void test_leftover_is_replaced(Fixture *f, gconstpointer data)
{
    int dead = bind_at(f->path);
    g_assert_cmpint(listen(dead, 1), ==, 0);
    close(dead);
    g_assert_cmpint(connect_to(f->path), ==, -1);

    test_log_forget();
    g_autoptr(CvdListener) listener = cvd_listener_new(f->path, 0600, NULL, NULL);
    g_assert_nonnull(listener);
    g_assert_cmpuint(test_log_count("replaced the leftover"), ==, 1);
    g_assert_cmpuint(test_log_count(f->path), ==, 1);
    cvd_autofd client = connect_to(f->path);
    g_assert_cmpint(client, >=, 0);
}

/* Killed between bind and listen: a name without a mode, and nobody behind it. */
static void test_half_made_leftover(Fixture *f, gconstpointer data)
{
    cvd_autofd dead = bind_at(f->path);

    g_assert_cmpint(chmod(f->path, 0), ==, 0);
    assert_refused(f->path, CVD_ERROR_BUSY); /* its maker is at it */
    cvd_close_fd(&dead);
    g_autoptr(CvdListener) listener = cvd_listener_new(f->path, 0600, NULL, NULL);
    g_assert_nonnull(listener);
}

/* ss(8) shows it, and systemd-tmpfiles(8) takes a socket that has no such line for a dead one. */
static void test_bound_under_its_path(Fixture *f, gconstpointer data)
{
    g_autoptr(CvdListener) listener = cvd_listener_new(f->path, 0600, NULL, NULL);
    g_autofree char *sockets = NULL;
    g_autofree char *line_end = g_strdup_printf(" %s\n", f->path);

    g_assert_nonnull(listener);
    g_assert_true(g_file_get_contents("/proc/net/unix", &sockets, NULL, NULL));
    g_assert_nonnull(strstr(sockets, line_end));
}

enum {
    N_PROCESSES = 8,
    N_ROUNDS = 100,
    N_GENERATIONS = 10,
};

/* The last listener is left behind for the others to find. Returns: an exit status */
static int listen_often(const Fixture *f, const char *lock_dir)
{
    CvdListener *listener = NULL;

    for (guint round = 0; round < N_ROUNDS; round++) {
        g_autoptr(GError) error = NULL;
        struct stat st;
        g_clear_pointer(&listener, cvd_listener_free);
        listener = cvd_listener_new(f->path, 0600, lock_dir, &error);
        if (listener == NULL && !g_error_matches(error, CVD_ERROR, CVD_ERROR_BUSY)) {
            g_printerr("# %s\n", error->message);
            return 1;
        }
        if (listener == NULL)
            continue;
        cvd_autofd client = connect_to(f->path);
        if (client < 0 || accept(cvd_listener_get_fd(listener), NULL, NULL) < 0 ||
            lstat(f->path, &st) < 0 || (st.st_mode & 07777) != 0600)
            return 2;
    }
    return 0;
}

/* Processes that find each other's leftovers never take each other's sockets away. */
static void test_race(Fixture *f, gconstpointer data)
{
    g_autofree char *lock_dir = g_dir_make_tmp("cvd-XXXXXX", NULL);

    for (guint generation = 0; generation < N_GENERATIONS; generation++) {
        pid_t pids[N_PROCESSES];
        for (guint i = 0; i < N_PROCESSES; i++) {
            pids[i] = fork();
            if (pids[i] == 0)
                _exit(listen_often(f, lock_dir));
        }
        for (guint i = 0; i < N_PROCESSES; i++) {
            int status;
            g_assert_cmpint(waitpid(pids[i], &status, 0), ==, pids[i]);
            g_assert_true(WIFEXITED(status) && test_child_is_fine(WEXITSTATUS(status)));
        }
    }
    cvd_listener_free(cvd_listener_new(f->path, 0600, lock_dir, NULL)); /* nothing is left then */
    g_assert_cmpint(rmdir(lock_dir), ==, 0);
}

/* Two servers, and no socket in between: its name was removed. */
static void test_locked_path(Fixture *f, gconstpointer data)
{
    g_autofree char *lock_dir = g_dir_make_tmp("cvd-XXXXXX", NULL);
    g_autofree char *other_way = g_build_filename(f->directory, ".", "s", NULL);
    g_autofree char *who = g_strdup_printf("in use by process %d", getpid());
    g_autoptr(GError) error = NULL;
    CvdListener *listener = cvd_listener_new(f->path, 0600, lock_dir, NULL);

    g_assert_nonnull(listener);
    g_assert_no_errno(unlink(f->path));
    g_assert_null(cvd_listener_new(other_way, 0600, lock_dir, &error));
    g_assert_error(error, CVD_ERROR, CVD_ERROR_BUSY);
    g_assert_nonnull(strstr(error->message, who));
    cvd_listener_free(listener);
    g_assert_cmpint(rmdir(lock_dir), ==, 0);
}

static void test_regular_file(Fixture *f, gconstpointer data)
{
    g_assert_true(g_file_set_contents(f->path, "mine", -1, NULL));
    assert_refused(f->path, CVD_ERROR_FOREIGN);
    g_autofree char *text = NULL;
    g_assert_true(g_file_get_contents(f->path, &text, NULL, NULL));
    g_assert_cmpstr(text, ==, "mine");
    g_assert_cmpint(unlink(f->path), ==, 0);
}

/* One that leads nowhere, and one to a leftover that could be replaced were it not for the link. */
static void test_symbolic_link(Fixture *f, gconstpointer data)
{
    g_autofree char *target = g_build_filename(f->directory, "t", NULL);
    g_assert_cmpint(symlink(target, f->path), ==, 0);
    assert_refused(f->path, CVD_ERROR_FOREIGN);
    close(bind_at(target));
    assert_refused(f->path, CVD_ERROR_FOREIGN);
    g_assert_true(g_file_test(f->path, G_FILE_TEST_IS_SYMLINK));
    g_assert_cmpint(unlink(f->path), ==, 0);
    g_assert_cmpint(unlink(target), ==, 0);
}

/* Both with a long directory and with a long name, which pass through different addresses. */
static void test_length_of_path(Fixture *f, gconstpointer data)
{
    gsize room = 107 - strlen(f->directory) - 1;
    g_autofree char *name = g_strnfill(room, 'n');
    g_autofree char *longest = g_build_filename(f->directory, name, NULL);
    g_autofree char *too_long = g_strconcat(longest, "n", NULL);

    g_assert_cmpuint(strlen(longest), ==, 107);
    g_assert_true(cvd_listener_path_check(longest, NULL));
    g_autoptr(CvdListener) listener = cvd_listener_new(longest, 0600, NULL, NULL);
    g_assert_nonnull(listener);
    cvd_autofd client = connect_to(longest);
    g_assert_cmpint(client, >=, 0);
    assert_refused(longest, CVD_ERROR_BUSY);

    g_autoptr(GError) error = NULL;
    g_assert_false(cvd_listener_path_check(too_long, &error));
    g_assert_error(error, CVD_ERROR, CVD_ERROR_INVALID);
    g_assert_nonnull(strstr(error->message, "108"));
    g_assert_nonnull(strstr(error->message, "107"));
    assert_refused(too_long, CVD_ERROR_INVALID);
}

static void test_long_directory(Fixture *f, gconstpointer data)
{
    gsize room = 107 - strlen(f->directory) - strlen("//s");
    g_autofree char *name = g_strnfill(room, 'd');
    g_autofree char *directory = g_build_filename(f->directory, name, NULL);
    g_autofree char *path = g_build_filename(directory, "s", NULL);

    g_assert_cmpuint(strlen(path), ==, 107);
    g_assert_cmpint(mkdir(directory, 0700), ==, 0);
    CvdListener *listener = cvd_listener_new(path, 0600, NULL, NULL);
    g_assert_nonnull(listener);
    cvd_autofd client = connect_to(path);
    g_assert_cmpint(client, >=, 0);
    cvd_listener_free(listener);
    g_assert_cmpint(rmdir(directory), ==, 0);
}

static void test_no_file_name(void)
{
    g_assert_false(cvd_listener_path_check("", NULL));
    g_assert_false(cvd_listener_path_check("/tmp/", NULL));
}

static void test_missing_directory(Fixture *f, gconstpointer data)
{
    g_autofree char *path = g_build_filename(f->directory, "none", "s", NULL);
    assert_refused(path, CVD_ERROR_FAILED);
}

static void test_replaced_name_stays(Fixture *f, gconstpointer data)
{
    CvdListener *listener = cvd_listener_new(f->path, 0600, NULL, NULL);
    g_assert_nonnull(listener);
    /* Renamed away rather than unlinked, so that the new one cannot get the same inode number. */
    g_autofree char *away = g_build_filename(f->directory, "away", NULL);
    g_assert_cmpint(rename(f->path, away), ==, 0);
    cvd_autofd other = bind_at(f->path);
    g_assert_cmpint(other, >=, 0);

    cvd_listener_free(listener);
    g_assert_true(g_file_test(f->path, G_FILE_TEST_EXISTS));
    g_assert_cmpint(unlink(f->path), ==, 0);
    g_assert_cmpint(unlink(away), ==, 0);
}

static void test_renamed_directory(Fixture *f, gconstpointer data)
{
    CvdListener *listener = cvd_listener_new(f->path, 0600, NULL, NULL);
    g_autofree char *away = g_strconcat(f->directory, "-2", NULL);

    g_assert_nonnull(listener);
    g_assert_no_errno(rename(f->directory, away));
    cvd_listener_free(listener);
    g_assert_no_errno(rmdir(away)); /* nothing is left in it */
    g_assert_no_errno(mkdir(f->directory, 0700));
}

/* As `flock -s /tmp sleep 60` does, which anybody may. */
static void test_locked_directory(Fixture *f, gconstpointer data)
{
    cvd_autofd directory = open(f->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    g_assert_cmpint(flock(directory, LOCK_EX), ==, 0);
    g_autoptr(CvdListener) listener = cvd_listener_new(f->path, 0600, NULL, NULL);
    g_assert_nonnull(listener);
}

#define ADD(name, test) g_test_add("/listener/" name, Fixture, NULL, set_up, test, tear_down)

static int listen_without_proc(gconstpointer path)
{
    g_autoptr(GError) error = NULL;

    if (!test_mount_tmpfs("/proc", NULL))
        return TEST_CHILD_SKIPS;
    return cvd_listener_new(path, 0600, NULL, &error) != NULL ||
           strstr(error->message, path) == NULL ||
           strstr(error->message, "is /proc mounted?") == NULL;
}

static void test_without_proc(Fixture *f, gconstpointer data)
{
    test_in_child(listen_without_proc, f->path, "cannot mount anything here");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    test_log_capture();
    ADD("accepts-with-its-mode-whatever-the-umask", test_accepts_with_its_mode);
    ADD("live-server-is-left-alone", test_live_server);
    ADD("full-backlog-is-alive", test_full_backlog_is_alive);
    ADD("leftover-is-replaced", test_leftover_is_replaced);
    ADD("half-made-leftover", test_half_made_leftover);
    ADD("bound-under-its-path", test_bound_under_its_path);
    ADD("eight-processes-race", test_race);
    ADD("renamed-directory", test_renamed_directory);
    ADD("path-is-locked", test_locked_path);
    ADD("regular-file-is-left-alone", test_regular_file);
    ADD("symbolic-link-is-not-followed", test_symbolic_link);
    ADD("path-of-107-bytes-but-not-108", test_length_of_path);
    ADD("long-directory", test_long_directory);
    g_test_add_func("/listener/no-file-name", test_no_file_name);
    ADD("missing-directory", test_missing_directory);
    ADD("replaced-name-is-not-unlinked", test_replaced_name_stays);
    ADD("locked-directory", test_locked_directory);
    ADD("without-proc", test_without_proc);
    return g_test_run();
}
