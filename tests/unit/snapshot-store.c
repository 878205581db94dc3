/* SPDX-License-Identifier: Apache-2.0 */
/* Who makes, uses and deletes snapshots at the same time, and what is left when they are stopped.
 */
#include "base/snapshot-store.h"

#include "base/error.h"
#include "base/fd.h"
#include "base/snapshot-writer.h"
#include "tests/support/sandbox.h"
#include "tests/support/snapshot.h"
#include "tests/unit/child.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define N_THREADS 8
#define N_ROUNDS  20
#define MIB       (1024 * 1024)
#define OTHER_UID 65534

/* ---- An interruption, at the place that a test wants ---- */

static guint n_looks; /* how often somebody has looked whether he is interrupted, and */
static guint last_look = G_MAXUINT;

/* Instead of GLib's. */
gboolean g_cancellable_set_error_if_cancelled(GCancellable *cancellable, GError **error)
{
    if (cancellable != NULL && ++n_looks >= last_look)
        g_cancellable_cancel(cancellable);
    if (!g_cancellable_is_cancelled(cancellable))
        return FALSE;
    g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_CANCELLED, "interrupted");
    return TRUE;
}

/* ---- A disk that fails, likewise ---- */

static guint n_syncs;
static guint failing_sync;

/* Instead of the C library's. */
int fsync(int fd)
{
    if (++n_syncs != failing_sync)
        return 0;
    errno = EIO;
    return -1;
}

/* ---- A place ---- */

typedef struct {
    char *place;
    char *path; /* of the snapshot "one" */
} Fixture;

static void set_up(Fixture *f, gconstpointer data)
{
    g_autoptr(GError) error = NULL;

    f->place = g_dir_make_tmp("cvd-test-XXXXXX", &error);
    g_assert_no_error(error);
    f->path = g_build_filename(f->place, "one", NULL);
    n_looks = n_syncs = failing_sync = 0;
    last_look = G_MAXUINT;
}

static void tear_down(Fixture *f, gconstpointer data)
{
    const char *const argv[] = {"rm", "-rf", f->place, NULL};

    g_assert_true(g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL,
                               NULL, NULL, NULL));
    g_free(f->place);
    g_free(f->path);
}

static int compare_names(gconstpointer one, gconstpointer other)
{
    return strcmp(*(const char *const *)one, *(const char *const *)other);
}

/* All names there are, in order. */
static char *list_entries(const char *path)
{
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    const char *name;

    while (dir != NULL && (name = g_dir_read_name(dir)) != NULL)
        g_ptr_array_add(names, g_strdup(name));
    g_ptr_array_sort(names, compare_names);
    g_ptr_array_add(names, NULL);
    return g_strjoinv(" ", (char **)names->pdata);
}

static void assert_entries(const char *path, const char *expected)
{
    g_autofree char *entries = list_entries(path);

    g_assert_cmpstr(entries, ==, expected);
}

static void assert_says(GError **error, int code, const char *text)
{
    g_assert_error(*error, CVD_ERROR, code);
    if (strstr((*error)->message, text) == NULL)
        g_error("'%s' is not in '%s'", text, (*error)->message);
    g_clear_error(error);
}

static CvdSnapshotWriter *new_writer(const char *path)
{
    g_autoptr(GError) error = NULL;
    CvdSnapshotWriter *writer = cvd_snapshot_writer_new(path, &error);

    g_assert_no_error(error);
    return writer;
}

static void make_files(CvdSnapshotWriter *writer, const char *const *names)
{
    for (; *names != NULL; names++) {
        g_autoptr(GError) error = NULL;
        cvd_autofd fd = cvd_snapshot_writer_create(writer, *names, &error);
        g_assert_no_error(error);
        g_assert_cmpint(fd, >=, 0);
    }
}

static void assert_is_deleted(const Fixture *f)
{
    g_autoptr(GError) error = NULL;

    cvd_snapshot_delete(f->path, &error);
    g_assert_no_error(error);
    assert_entries(f->place, "");
}

/* ---- Writers ---- */

static void test_exists(Fixture *f, gconstpointer data)
{
    g_autofree char *directory = g_build_filename(f->place, "two", NULL);
    g_autofree char *file = g_build_filename(f->place, "three", NULL);
    g_autofree char *advice =
        g_strdup_printf("two: is a directory, and no snapshot; name one in it, %s/NAME", directory);
    g_autoptr(GError) error = NULL;

    test_snapshot_make(f->path, FALSE);
    g_assert_cmpint(g_mkdir(directory, 0700), ==, 0);
    g_assert_true(g_file_set_contents(file, "", 0, NULL));
    g_assert_null(cvd_snapshot_writer_new(f->path, &error));
    assert_says(&error, CVD_ERROR_BUSY,
                "one: there is one already; choose another name, or remove "
                "it (cvd-ctl delete)");
    g_assert_null(cvd_snapshot_writer_new(directory, &error));
    assert_says(&error, CVD_ERROR_BUSY, advice);
    g_assert_null(cvd_snapshot_writer_new(file, &error));
    assert_says(&error, CVD_ERROR_BUSY, "three: is a file, and no snapshot; choose another name");
    assert_entries(f->place, "one three two");
}

static void test_is_being_made(Fixture *f, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    CvdSnapshotWriter *writer = new_writer(f->path);

    g_assert_null(cvd_snapshot_writer_new(f->path, &error));
    assert_says(&error, CVD_ERROR_BUSY, "one: is being made by another process");
    cvd_snapshot_writer_free(writer);
    assert_entries(f->place, "");
    test_snapshot_make(f->path, FALSE);
}

/* Somebody who does not know of writers has taken the name. */
static void test_exists_at_the_end(Fixture *f, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(CvdSnapshotInfo) info = test_snapshot_make_info("one");
    CvdSnapshotWriter *writer = new_writer(f->path);

    make_files(writer, (const char *const[]){"cvd.json", "state", "window", NULL});
    g_ptr_array_set_size(info->disks, 0);
    g_assert_true(g_file_set_contents(f->path, "", 0, NULL));
    g_assert_false(cvd_snapshot_writer_finish(writer, info, NULL, &error));
    assert_says(&error, CVD_ERROR_BUSY, "one: is a file, and no snapshot");
    cvd_snapshot_writer_free(writer);
    assert_entries(f->place, "one");
}

/* What may not be on the disk is not there at all, also when it has its name already. */
static void test_sync_fails(Fixture *f, gconstpointer data)
{
    gboolean is_made = FALSE;

    for (failing_sync = 1; !is_made; failing_sync++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(CvdSnapshotInfo) info = test_snapshot_make_info("one");
        CvdSnapshotWriter *writer = new_writer(f->path);
        n_syncs = 0;
        make_files(writer, (const char *const[]){"cvd.json", "state", "window", NULL});
        g_ptr_array_set_size(info->disks, 0);
        is_made = cvd_snapshot_writer_finish(writer, info, NULL, &error);
        cvd_snapshot_writer_free(writer);
        g_assert_true(is_made == (failing_sync > n_syncs));
        assert_entries(f->place, is_made ? "one" : "");
    }
    g_assert_cmpuint(n_syncs, ==, 6); /* three files, snapshot.json and two directories */
}

/* What cannot be read again is not written. */
static void test_bad_info(Fixture *f, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(CvdSnapshotInfo) info = test_snapshot_make_info("one");
    CvdSnapshotWriter *writer = new_writer(f->path);

    g_free(info->config_directory);
    info->config_directory = g_strdup("/srv/new\nline");
    g_assert_false(cvd_snapshot_writer_finish(writer, info, NULL, &error));
    assert_says(&error, CVD_ERROR_INVALID,
                "one: cannot be described in snapshot.json: config_directory: expected an absolute "
                "path");
    cvd_snapshot_writer_free(writer);
    assert_entries(f->place, "");
}

static void test_no_place(Fixture *f, gconstpointer data)
{
    g_autofree char *elsewhere = g_build_filename(f->place, "a", "b", "one", NULL);
    g_autofree char *place = g_build_filename(f->place, "c", "d", NULL);
    g_autofree char *path = g_build_filename(place, "one", NULL);
    g_autoptr(GError) error = NULL;
    struct stat st;

    g_assert_null(cvd_snapshot_writer_new(elsewhere, &error));
    assert_says(&error, CVD_ERROR_FAILED, "/a/b: cannot be opened: No such file or directory");
    g_setenv("CVD_SNAPSHOT_DIR", place, TRUE);
    cvd_snapshot_writer_free(new_writer(path));
    g_assert_cmpint(stat(place, &st), ==, 0);
    g_assert_cmpint(st.st_mode & 0777, ==, 0700);
}

static gpointer try_new(gpointer data)
{
    g_autoptr(GError) error = NULL;
    CvdSnapshotWriter *writer = cvd_snapshot_writer_new(data, &error);

    if (writer == NULL)
        g_assert_error(error, CVD_ERROR, CVD_ERROR_BUSY);
    return writer;
}

static void test_writers_of_one_name(Fixture *f, gconstpointer data)
{
    for (guint round = 0; round < N_ROUNDS; round++) {
        GThread *threads[N_THREADS];
        guint n = 0;
        for (guint i = 0; i < N_THREADS; i++)
            threads[i] = g_thread_new("writer", try_new, f->path);
        CvdSnapshotWriter *writers[N_THREADS];
        for (guint i = 0; i < N_THREADS; i++)
            n += (writers[i] = g_thread_join(threads[i])) != NULL;
        g_assert_cmpuint(n, ==, 1);
        for (guint i = 0; i < N_THREADS; i++)
            g_clear_pointer(&writers[i], cvd_snapshot_writer_free);
        assert_entries(f->place, "");
    }
}

/* Each looks for what is left over, and finds what the others just begin. */
static gpointer make_many(gpointer data)
{
    for (guint round = 0; round < 5 * N_ROUNDS; round++)
        cvd_snapshot_writer_free(new_writer(data));
    return NULL;
}

static void test_writers_side_by_side(Fixture *f, gconstpointer data)
{
    GThread *threads[N_THREADS];
    char *paths[N_THREADS];

    for (guint i = 0; i < N_THREADS; i++) {
        paths[i] = g_strdup_printf("%s/snapshot-%u", f->place, i);
        threads[i] = g_thread_new("writer", make_many, paths[i]);
    }
    for (guint i = 0; i < N_THREADS; i++) {
        g_thread_join(threads[i]);
        g_free(paths[i]);
    }
    assert_entries(f->place, "");
}

/* ---- Interrupted ---- */

/* Returns: whether it came to its end */
static gboolean make_cancellably(const Fixture *f, GError **error)
{
    g_autoptr(GCancellable) cancellable = g_cancellable_new();
    g_autoptr(CvdSnapshotInfo) info = test_snapshot_make_info("one");
    g_autoptr(CvdSnapshotWriter) writer = new_writer(f->path);
    cvd_autofd ram = test_snapshot_make_memory(TEST_SNAPSHOT_RAM);

    make_files(writer, (const char *const[]){"cvd.json", "state", NULL});
    g_ptr_array_set_size(info->disks, 0);
    return cvd_snapshot_writer_copy(writer, "window", ram, cancellable, error) &&
           cvd_snapshot_writer_copy(writer, "ram", ram, cancellable, error) &&
           cvd_snapshot_writer_compress(writer, cancellable, error) &&
           cvd_snapshot_writer_finish(writer, info, cancellable, error);
}

/* At each of the places where it can be. */
static void test_cancelled(Fixture *f, gconstpointer data)
{
    g_autoptr(GError) error = NULL;

    make_cancellably(f, &error);
    g_assert_no_error(error);
    guint n = n_looks;
    g_assert_cmpuint(n, >, 30); /* a look a MiB while it is packed */
    assert_is_deleted(f);
    for (guint i = 1; i <= n; i++) {
        n_looks = 0;
        last_look = i;
        g_assert_false(make_cancellably(f, &error));
        g_assert_error(error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
        g_clear_error(&error);
        g_assert_cmpuint(n_looks, ==, i);
        assert_entries(f->place, "");
    }
}

/* A copy that failed is gone, and can be made again. */
static void test_cancelled_copy(Fixture *f, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GCancellable) cancellable = g_cancellable_new();
    g_autoptr(CvdSnapshotWriter) writer = new_writer(f->path);
    g_autofree char *directory = g_build_filename(f->place, ".one.cvd-new", NULL);
    cvd_autofd ram = test_snapshot_make_memory(TEST_SNAPSHOT_RAM);

    last_look = 3;
    g_assert_false(cvd_snapshot_writer_copy(writer, "ram", ram, cancellable, &error));
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
    g_clear_error(&error);
    assert_entries(directory, "");
    cvd_snapshot_writer_copy(writer, "ram", ram, NULL, &error);
    g_assert_no_error(error);
    assert_entries(directory, "ram");
}

/* ---- Killed ---- */

/* Returns: a process that writes, and waits to be killed */
static pid_t start_writer(const Fixture *f)
{
    int pipe_fds[2];
    char byte;

    g_assert_cmpint(pipe(pipe_fds), ==, 0);
    pid_t pid = fork();
    if (pid == 0) {
        CvdSnapshotWriter *writer = new_writer(f->path);
        int ram = test_snapshot_make_memory(TEST_SNAPSHOT_RAM);
        g_assert_true(cvd_snapshot_writer_copy(writer, "ram", ram, NULL, NULL));
        g_assert_cmpint(write(pipe_fds[1], "", 1), ==, 1);
        for (;;)
            pause();
    }
    close(pipe_fds[1]);
    g_assert_cmpint(read(pipe_fds[0], &byte, 1), ==, 1);
    close(pipe_fds[0]);
    return pid;
}

static void kill_writer(pid_t pid)
{
    g_assert_cmpint(kill(pid, SIGKILL), ==, 0);
    g_assert_cmpint(waitpid(pid, NULL, 0), ==, pid);
}

static char *list(const Fixture *f)
{
    g_autoptr(GError) error = NULL;
    cvd_snapshot_clean(f->place);
    g_autoptr(GPtrArray) names = cvd_snapshot_list(f->place, &error);

    g_assert_no_error(error);
    g_ptr_array_add(names, NULL);
    return g_strjoinv(" ", (char **)names->pdata);
}

static void test_killed(Fixture *f, gconstpointer data)
{
    pid_t pid = start_writer(f);
    g_autofree char *names = list(f);

    g_assert_cmpstr(names, ==, "");
    assert_entries(f->place, ".one.cvd-new"); /* as its writer lives */
    kill_writer(pid);
    assert_entries(f->place, ".one.cvd-new");
    g_autofree char *names_after = list(f);
    g_assert_cmpstr(names_after, ==, "");
    assert_entries(f->place, "");
}

/* The next writer, of whatever name, removes it. */
static void test_killed_and_made_again(Fixture *f, gconstpointer data)
{
    g_autofree char *other = g_build_filename(f->place, "two", NULL);

    kill_writer(start_writer(f));
    test_snapshot_make(f->path, FALSE);
    assert_entries(f->place, "one");
    assert_is_deleted(f);
    kill_writer(start_writer(f));
    test_snapshot_make(other, FALSE);
    assert_entries(f->place, "two");
}

/* Half of a snapshot is left by one who deletes, too. */
static void test_killed_in_a_deletion(Fixture *f, gconstpointer data)
{
    g_autofree char *old = g_build_filename(f->place, ".one.1-0.cvd-old", NULL);
    g_autofree char *ram = g_build_filename(old, "ram", NULL);

    test_snapshot_make(f->path, FALSE);
    g_assert_cmpint(g_rename(f->path, old), ==, 0);
    g_assert_cmpint(g_unlink(ram), ==, 0);
    g_autofree char *names = list(f);
    g_assert_cmpstr(names, ==, "");
    assert_entries(f->place, "");
}

/* Only what is ours is removed. */
static void test_not_left_over(Fixture *f, gconstpointer data)
{
    static const char *const dirs[] = {"three", ".cvd-new-four", "five.cvd-new", ".six.tmp"};
    g_autofree char *file = g_build_filename(f->place, ".seven.cvd-new", NULL);

    for (guint i = 0; i < G_N_ELEMENTS(dirs); i++) {
        g_autofree char *path = g_build_filename(f->place, dirs[i], NULL);
        g_assert_cmpint(g_mkdir(path, 0700), ==, 0);
    }
    g_assert_true(g_file_set_contents(file, "", 0, NULL));
    g_autofree char *names = list(f);
    g_assert_cmpstr(names, ==, "five.cvd-new three");
    assert_entries(f->place, ".cvd-new-four .seven.cvd-new .six.tmp five.cvd-new three");
}

/* What has something else in it nobody has only begun to remove. */
static void test_left_over_with_more(Fixture *f, gconstpointer data)
{
    static const char *const names_of_dirs[] = {".one.cvd-new/thesis", ".two.1-0.cvd-old/state"};

    for (guint i = 0; i < G_N_ELEMENTS(names_of_dirs); i++) {
        g_autofree char *path = g_build_filename(f->place, names_of_dirs[i], NULL);
        g_autofree char *file = g_build_filename(path, "../snapshot.json", NULL);
        g_assert_cmpint(g_mkdir_with_parents(path, 0700), ==, 0);
        g_assert_true(g_file_set_contents(file, "", 0, NULL));
    }
    g_free(list(f));
    assert_entries(f->place, ".one.cvd-new .two.1-0.cvd-old");
    for (guint i = 0; i < G_N_ELEMENTS(names_of_dirs); i++) {
        g_autofree char *path = g_build_filename(f->place, names_of_dirs[i], NULL);
        g_autofree char *file = g_build_filename(path, "../snapshot.json", NULL);
        g_assert_true(g_file_test(file, G_FILE_TEST_EXISTS));
    }
}

/* ---- Deleting ---- */

static void test_delete_used(Fixture *f, gconstpointer data)
{
    g_autoptr(GError) error = NULL;

    test_snapshot_make(f->path, FALSE);
    g_autoptr(CvdSnapshot) look = cvd_snapshot_look(f->path, &error);
    g_assert_cmpint(cvd_snapshot_count_users(look), ==, 0);
    CvdSnapshot *one = cvd_snapshot_open(f->path, &error);
    g_assert_cmpint(cvd_snapshot_count_users(look), ==, 1);
    g_assert_false(cvd_snapshot_delete(f->path, &error));
    assert_says(&error, CVD_ERROR_BUSY, "one: 1 machine runs from it; stop it first");
    CvdSnapshot *other = cvd_snapshot_open(f->path, &error);
    g_assert_cmpint(cvd_snapshot_count_users(look), ==, 2);
    g_assert_false(cvd_snapshot_delete(f->path, &error));
    assert_says(&error, CVD_ERROR_BUSY, "one: 2 machines run from it; stop them first");
    cvd_snapshot_free(one);
    cvd_snapshot_free(other);
    assert_is_deleted(f); /* though somebody looks at it */
    g_assert_false(cvd_snapshot_delete(f->path, &error));
    assert_says(&error, CVD_ERROR_CLOSED, "one: there is no such snapshot");
}

static void test_delete_damaged(Fixture *f, gconstpointer data)
{
    g_autofree char *file = g_build_filename(f->path, "snapshot.json", NULL);

    test_snapshot_make(f->path, FALSE);
    g_assert_cmpint(truncate(file, 0), ==, 0);
    assert_is_deleted(f);
}

static void test_delete_others(Fixture *f, gconstpointer data)
{
    g_autofree char *file = g_build_filename(f->path, "snapshot.json", NULL);
    g_autofree char *thesis = g_build_filename(f->path, "thesis.tex", NULL);
    g_autofree char *checked = g_build_filename(f->path, "checked", NULL);
    g_autofree char *link = g_build_filename(f->place, "link", NULL);
    g_autofree char *file_path = g_build_filename(f->place, "file", NULL);
    g_autoptr(GError) error = NULL;

    test_snapshot_make(f->path, FALSE);
    g_assert_cmpint(symlink("one", link), ==, 0);
    g_assert_false(cvd_snapshot_delete(link, &error));
    assert_says(&error, CVD_ERROR_FOREIGN, "link: is a link to one; delete that, then the link");
    g_assert_true(g_file_set_contents(file_path, "", 0, NULL));
    g_assert_false(cvd_snapshot_delete(file_path, &error));
    assert_says(&error, CVD_ERROR_FOREIGN, "file: is no directory, and so no snapshot");
    g_assert_true(g_file_set_contents(thesis, "", 0, NULL));
    g_assert_false(cvd_snapshot_delete(f->path, &error));
    assert_says(&error, CVD_ERROR_FOREIGN, "one: has thesis.tex, which is not of a snapshot");
    g_assert_cmpint(g_unlink(thesis), ==, 0);
    g_assert_cmpint(g_mkdir(checked, 0700), ==, 0);
    g_assert_false(cvd_snapshot_delete(f->path, &error));
    assert_says(&error, CVD_ERROR_FOREIGN, "one: has checked, which is not of a snapshot");
    g_assert_cmpint(g_rmdir(checked), ==, 0);
    g_assert_cmpint(g_unlink(file), ==, 0);
    g_assert_false(cvd_snapshot_delete(f->path, &error));
    assert_says(&error, CVD_ERROR_FOREIGN, "one: is no snapshot, as it has no snapshot.json");
    assert_entries(f->path, "cvd.json disk-0.qcow2 ram state window");
}

/* Who may not look says nothing of what is there. */
static int delete_as_other(gconstpointer data)
{
    const Fixture *f = data;
    g_autoptr(GError) error = NULL;

    if (setresuid(OTHER_UID, OTHER_UID, OTHER_UID) < 0)
        return TEST_CHILD_SKIPS;
    g_assert_false(cvd_snapshot_delete(f->path, &error));
    assert_says(&error, CVD_ERROR_FAILED, "one: cannot be opened: Permission denied");
    return 0;
}

static void test_delete_hidden(Fixture *f, gconstpointer data)
{
    g_autofree char *nowhere = g_build_filename(f->place, "nowhere", "one", NULL);
    g_autoptr(GError) error = NULL;

    test_snapshot_make(f->path, FALSE);
    g_assert_false(cvd_snapshot_delete(nowhere, &error));
    assert_says(&error, CVD_ERROR_CLOSED, "nowhere/one: there is no such snapshot");
    test_in_child(delete_as_other, f, "needs root");
}

/* ---- All at once ---- */

static gpointer read_all(gpointer data)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(CvdSnapshot) snapshot = cvd_snapshot_open(data, &error);
    cvd_autofd copy = memfd_create("copy", MFD_CLOEXEC);

    g_assert_no_error(error);
    cvd_snapshot_verify(snapshot, TRUE, NULL, NULL, NULL, &error);
    g_assert_no_error(error);
    cvd_snapshot_copy_out(snapshot, CVD_SNAPSHOT_RAM_COMPRESSED, copy, NULL, &error);
    g_assert_no_error(error);
    return NULL;
}

static void test_readers(Fixture *f, gconstpointer data)
{
    GThread *threads[N_THREADS];

    test_snapshot_make(f->path, TRUE);
    for (guint i = 0; i < N_THREADS; i++)
        threads[i] = g_thread_new("reader", read_all, f->path);
    for (guint i = 0; i < N_THREADS; i++)
        g_thread_join(threads[i]);
    assert_is_deleted(f);
}

static gint is_over;

/* It is there, with all its files, or it is not. */
static void try_one(const char *path, CvdSnapshot *(*open)(const char *path, GError **error))
{
    g_autoptr(GError) error = NULL;
    g_autoptr(CvdSnapshot) snapshot = open(path, &error);

    if (snapshot == NULL)
        g_assert_true(g_error_matches(error, CVD_ERROR, CVD_ERROR_CLOSED) ||
                      g_error_matches(error, CVD_ERROR, CVD_ERROR_BUSY));
    if (snapshot == NULL || open == cvd_snapshot_look)
        return;
    cvd_autofd fd = cvd_snapshot_open_file(snapshot, CVD_SNAPSHOT_RAM, &error);
    g_assert_no_error(error);
    g_assert_cmpint(fd, >=, 0);
}

static gpointer try_again(gpointer data)
{
    while (!g_atomic_int_get(&is_over)) {
        try_one(data, cvd_snapshot_open);
        try_one(data, cvd_snapshot_look);
    }
    return NULL;
}

static void test_delete_while_opened(Fixture *f, gconstpointer data)
{
    GThread *threads[2];

    g_atomic_int_set(&is_over, FALSE);
    for (guint i = 0; i < G_N_ELEMENTS(threads); i++)
        threads[i] = g_thread_new("reader", try_again, f->path);
    for (guint round = 0; round < N_ROUNDS; round++) {
        g_autoptr(GError) error = NULL;
        test_snapshot_make(f->path, FALSE);
        while (!cvd_snapshot_delete(f->path, &error)) {
            g_assert_error(error, CVD_ERROR, CVD_ERROR_BUSY);
            g_clear_error(&error);
        }
    }
    g_atomic_int_set(&is_over, TRUE);
    for (guint i = 0; i < G_N_ELEMENTS(threads); i++)
        g_thread_join(threads[i]);
    assert_entries(f->place, "");
}

/* ---- No space ---- */

/* 5 MiB of data, of which the file system has room for 3 */
static int make_full_memory(void)
{
    int fd = test_snapshot_make_memory(TEST_SNAPSHOT_RAM);
    g_autofree char *bytes = g_malloc(5 * MIB);

    for (guint i = 0; i < 5 * MIB; i++)
        bytes[i] = (char)g_random_int();
    g_assert_cmpint(pwrite(fd, bytes, 5 * MIB, 8 * MIB), ==, 5 * MIB);
    return fd;
}

/* @numbers: what is said of how many bytes there are */
static void assert_no_space(const Fixture *f, GError **error, const char *numbers)
{
    g_autofree char *text =
        g_strdup_printf("%s: no space left: %s; make room there, ", f->place, numbers);

    assert_says(error, CVD_ERROR_RESOURCES, text);
}

/* Runs in a process of its own. */
static int write_to_full_disk(gconstpointer data)
{
    const Fixture *f = data;
    g_autoptr(GError) error = NULL;
    cvd_autofd memory = make_full_memory();

    if (!test_may_mount())
        return TEST_CHILD_SKIPS;
    test_enter_mount_namespace();
    if (mount("tmpfs", f->place, "tmpfs", 0, "size=3m,mode=0700") < 0)
        return 1;
    CvdSnapshotWriter *writer = new_writer(f->path);
    g_autofree char *directory = g_build_filename(f->place, ".one.cvd-new", NULL);
    g_assert_false(cvd_snapshot_writer_copy(writer, "window", memory, NULL, &error));
    assert_no_space(f, &error, "about 5.0 MiB more are needed, 3.0 MiB are free");
    assert_entries(directory, "");
    cvd_snapshot_writer_free(writer);
    assert_entries(f->place, "");
    return 0;
}

static void test_no_space(Fixture *f, gconstpointer data)
{
    test_in_child(write_to_full_disk, f, "no mount namespace to be had here");
}

static void fill(const char *path)
{
    cvd_autofd fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    g_autofree char *bytes = g_strnfill(4096, 'x');

    while (write(fd, bytes, 4096) > 0)
        continue;
}

/* Neither packed RAM nor the description has room. */
static int finish_on_full_disk(gconstpointer data)
{
    const Fixture *f = data;
    g_autoptr(GError) error = NULL;
    g_autoptr(CvdSnapshotInfo) info = test_snapshot_make_info("one");
    g_autofree char *filler = g_build_filename(f->place, "filler", NULL);
    cvd_autofd memory = make_full_memory();

    if (!test_may_mount())
        return TEST_CHILD_SKIPS;
    test_enter_mount_namespace();
    if (mount("tmpfs", f->place, "tmpfs", 0, "size=8m,mode=0700") < 0)
        return 1;
    CvdSnapshotWriter *writer = new_writer(f->path);
    g_assert_true(cvd_snapshot_writer_copy(writer, "ram", memory, NULL, NULL));
    g_assert_false(cvd_snapshot_writer_compress(writer, NULL, &error));
    assert_no_space(f, &error, "about 5.0 MiB more are needed, 3.0 MiB are free");
    make_files(writer, (const char *const[]){"cvd.json", "state", "window", NULL});
    g_ptr_array_set_size(info->disks, 0);
    fill(filler);
    g_assert_false(cvd_snapshot_writer_finish(writer, info, NULL, &error));
    assert_no_space(f, &error, "0 KiB are free");
    cvd_snapshot_writer_free(writer);
    assert_entries(f->place, "filler");
    return 0;
}

static void test_no_space_at_the_end(Fixture *f, gconstpointer data)
{
    test_in_child(finish_on_full_disk, f, "no mount namespace to be had here");
}

static void add(const char *path, void (*test)(Fixture *f, gconstpointer data))
{
    g_test_add(path, Fixture, NULL, set_up, test, tear_down);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    add("/snapshot-store/no-place", test_no_place); /* first, as it sets a variable */
    add("/snapshot-store/exists", test_exists);
    add("/snapshot-store/is-being-made", test_is_being_made);
    add("/snapshot-store/exists-at-the-end", test_exists_at_the_end);
    add("/snapshot-store/sync-fails", test_sync_fails);
    add("/snapshot-store/bad-info", test_bad_info);
    add("/snapshot-store/writers-of-one-name", test_writers_of_one_name);
    add("/snapshot-store/writers-side-by-side", test_writers_side_by_side);
    add("/snapshot-store/cancelled", test_cancelled);
    add("/snapshot-store/cancelled-copy", test_cancelled_copy);
    add("/snapshot-store/killed", test_killed);
    add("/snapshot-store/killed-and-made-again", test_killed_and_made_again);
    add("/snapshot-store/killed-in-a-deletion", test_killed_in_a_deletion);
    add("/snapshot-store/not-left-over", test_not_left_over);
    add("/snapshot-store/left-over-with-more", test_left_over_with_more);
    add("/snapshot-store/delete-used", test_delete_used);
    add("/snapshot-store/delete-damaged", test_delete_damaged);
    add("/snapshot-store/delete-others", test_delete_others);
    add("/snapshot-store/delete-hidden", test_delete_hidden);
    add("/snapshot-store/readers", test_readers);
    add("/snapshot-store/delete-while-opened", test_delete_while_opened);
    add("/snapshot-store/no-space", test_no_space);
    add("/snapshot-store/no-space-at-the-end", test_no_space_at_the_end);
    return g_test_run();
}
