/* SPDX-License-Identifier: Apache-2.0 */
/* A window that holds what another one held, whose VM was saved. */
#include "server/window.h"

#include "base/error.h"
#include "base/fd.h"
#include "server/layout-private.h"
#include "tests/unit/child.h"
#include "tests/unit/layout-spec.h"
#include "tests/unit/talk.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MIB         (1024 * 1024)
#define WINDOW_SIZE MIB
#define PAGE        4096
/* A page of its own far behind the others, and parts of pages that data ends and begins in. */
#define FAR       (WINDOW_SIZE - 5 * PAGE)
#define N_PIECES  4
#define READY_WAS 0xffc /* the last word before the first region */

static const struct {
    guint offset;
    guint size;
} pieces[N_PIECES] = {{0, 300}, {0x1000, 1}, {3 * PAGE - 1, PAGE + 2}, {FAR, 77}};

static CvdLayout *make_layout(void)
{
    g_autoptr(CvdLayoutSpec) spec = cvd_layout_spec_new();

    test_add_whole_region(spec, "a", PAGE, 1, 1, 2, 1);
    test_add_whole_region(spec, "b", PAGE, 1, 1, 0, 0);
    spec->min_window_size = WINDOW_SIZE;
    return test_compute_layout(spec);
}

/* Where nobody has written there is a hole. */
static int make_content(off_t size)
{
    guint8 bytes[2 * PAGE];
    cvd_autofd fd = memfd_create("content", MFD_CLOEXEC);

    g_assert_no_errno(ftruncate(fd, size));
    memset(bytes, 0xa5, sizeof bytes);
    for (guint i = 0; i < N_PIECES && pieces[i].offset < size; i++)
        g_assert_cmpint(pwrite(fd, bytes, pieces[i].size, (off_t)pieces[i].offset), ==,
                        pieces[i].size);
    return g_steal_fd(&fd);
}

static void read_all(int fd, guint8 bytes[WINDOW_SIZE])
{
    g_assert_cmpint(pread(fd, bytes, WINDOW_SIZE, 0), ==, WINDOW_SIZE);
}

/* As the content, with the layout's descriptors. */
static void assert_filled(const CvdWindow *window, const CvdLayout *layout, int content)
{
    g_autofree guint8 *expected = g_malloc(WINDOW_SIZE), *found = g_malloc(WINDOW_SIZE);
    g_autoptr(GBytes) descriptors = cvd_layout_get_descriptors(layout);
    gsize size;
    const void *bytes = g_bytes_get_data(descriptors, &size);

    read_all(content, expected);
    g_assert_cmpuint(expected[0], ==, 0xa5);
    memcpy(expected, bytes, size);
    g_assert_cmpuint(size, <, pieces[0].size);
    read_all(cvd_window_get_fd(window), found);
    g_assert_cmpmem(found, WINDOW_SIZE, expected, WINDOW_SIZE);
}

static gint64 count_allocated(const CvdWindow *window)
{
    struct stat st;

    g_assert_no_errno(fstat(cvd_window_get_fd(window), &st));
    return (gint64)st.st_blocks * 512;
}

/* New, and once more after a guest has written all over it. */
static void check_filled(const CvdWindowOptions *options)
{
    g_autoptr(CvdLayout) layout = make_layout();
    g_autoptr(GError) error = NULL;
    cvd_autofd content = make_content(WINDOW_SIZE);
    g_autofree guint8 *garbage = g_malloc(WINDOW_SIZE);
    g_autoptr(CvdWindow) window = cvd_window_new(layout, options, &error);

    g_assert_no_error(error);
    memset(garbage, 0xbb, WINDOW_SIZE);
    for (guint i = 0; i < 2; i++) {
        g_assert_true(cvd_window_fill(window, content, &error));
        g_assert_no_error(error);
        assert_filled(window, layout, content);
        g_assert_cmpint(count_allocated(window), ==, options->prealloc ? WINDOW_SIZE : 6 * PAGE);
        g_assert_cmpint(pwrite(cvd_window_get_fd(window), garbage, WINDOW_SIZE, 0), ==,
                        WINDOW_SIZE);
        g_assert_true(cvd_window_renew(window, &error));
    }
}

static void test_anonymous(void)
{
    check_filled(&(CvdWindowOptions){.backing = CVD_WINDOW_MEMFD});
    check_filled(&(CvdWindowOptions){.backing = CVD_WINDOW_MEMFD, .prealloc = TRUE});
}

static void test_named(void)
{
    g_autofree char *path = g_strdup_printf("/dev/shm/cvd-test-fill-%d", getpid());

    check_filled(&(CvdWindowOptions){.backing = CVD_WINDOW_POSIX_SHM, .path = path});
    check_filled(
        &(CvdWindowOptions){.backing = CVD_WINDOW_POSIX_SHM, .path = path, .prealloc = TRUE});
}

static void assert_refused(CvdWindow *window, int content, const char *words)
{
    g_autoptr(GError) error = NULL;

    g_assert_false(cvd_window_fill(window, content, &error));
    g_assert_error(error, CVD_ERROR, CVD_ERROR_INVALID);
    if (strstr(error->message, words) == NULL)
        g_error("'%s' does not have '%s'", error->message, words);
}

static void test_of_another_size(void)
{
    static const off_t sizes[] = {0, PAGE, WINDOW_SIZE - 1, WINDOW_SIZE + 1, 2 * WINDOW_SIZE};
    g_autoptr(CvdLayout) layout = make_layout();
    g_autoptr(CvdWindow) window = cvd_window_new(layout, &(CvdWindowOptions){0}, NULL);
    int pipe_fds[2];

    for (guint i = 0; i < G_N_ELEMENTS(sizes); i++) {
        cvd_autofd content = make_content(sizes[i]);
        g_autofree char *words = g_strdup_printf(
            "its saved content has %jd bytes, and the window has 1048576: ", (intmax_t)sizes[i]);
        assert_refused(window, content, words);
    }
    g_assert_no_errno(pipe(pipe_fds));
    assert_refused(window, pipe_fds[0], "its saved content is no regular file");
    close(pipe_fds[0]);
    close(pipe_fds[1]);
}

static void set_word(const CvdWindow *window, guint32 offset)
{
    const guint32 one = GUINT32_TO_LE(1);

    g_assert_cmpint(pwrite(cvd_window_get_fd(window), &one, sizeof one, (off_t)offset), ==,
                    sizeof one);
}

/* Each word is that of its region and direction, and nobody else's. */
static void test_signalled(void)
{
    g_autoptr(CvdLayout) layout = make_layout();

    for (guint way = 0; way < 2 * layout->n_regions; way++) {
        g_autoptr(CvdWindow) window = cvd_window_new(layout, &(CvdWindowOptions){0}, NULL);
        const CvdLayoutRegion *region = &layout->regions[way / 2];
        const CvdSignalTable *table = way % 2 ? &region->host_to_guest : &region->guest_to_host;

        set_word(window, region->begin + table->interrupt_signalled_offset);
        for (guint i = 0; i < layout->n_regions; i++) {
            gboolean to_guest = FALSE, to_host = FALSE;

            cvd_window_find_signalled(window, i, &to_guest, &to_host);
            g_assert_cmpint(to_host, ==, way == 2 * i);
            g_assert_cmpint(to_guest, ==, way == 2 * i + 1);
        }
    }
}

static void test_ready(void)
{
    g_autoptr(CvdLayout) layout = make_layout();
    g_autoptr(CvdWindow) old = cvd_window_new(layout, &(CvdWindowOptions){0}, NULL);
    g_autoptr(CvdWindow) window = cvd_window_new(layout, &(CvdWindowOptions){0}, NULL);

    set_word(old, READY_WAS);
    g_assert_false(cvd_window_says_ready(window));
    g_assert_true(cvd_window_fill(window, cvd_window_get_fd(old), NULL));
    g_assert_true(cvd_window_says_ready(window));
}

enum {
    FINE,
    NO_WINDOW,
    WRONG_ERROR,
    WRONG_TEXT,
    NO_MOUNT = TEST_CHILD_SKIPS
};

#define DIRECTORY "/dev/shm"

/* It may be as large as it likes, but when its pages are wanted there are none: no SIGBUS. */
static int fill_small_tmpfs(gconstpointer data)
{
    cvd_autofd content = memfd_create("content", MFD_CLOEXEC);
    g_autofree char *bytes = g_malloc0(WINDOW_SIZE);

    if (write(content, bytes, WINDOW_SIZE) != WINDOW_SIZE ||
        !test_mount_tmpfs(DIRECTORY, "size=65536"))
        return NO_MOUNT;
    g_autoptr(CvdLayout) layout = make_layout();
    g_autoptr(GError) error = NULL;
    g_autoptr(CvdWindow) window = cvd_window_new(
        layout, &(CvdWindowOptions){.backing = CVD_WINDOW_POSIX_SHM, .path = DIRECTORY "/x"}, NULL);
    if (window == NULL)
        return NO_WINDOW;
    if (cvd_window_fill(window, content, &error) ||
        !g_error_matches(error, CVD_ERROR, CVD_ERROR_RESOURCES))
        return WRONG_ERROR;
    return strstr(error->message, "1048576 bytes are needed, 0 are free") != NULL ? FINE
                                                                                  : WRONG_TEXT;
}

static void test_small_tmpfs(void)
{
    test_in_child(fill_small_tmpfs, NULL, "cannot mount a tmpfs here");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    test_log_capture();
    g_test_add_func("/window-fill/anonymous", test_anonymous);
    g_test_add_func("/window-fill/named", test_named);
    g_test_add_func("/window-fill/of-another-size", test_of_another_size);
    g_test_add_func("/window-fill/signalled", test_signalled);
    g_test_add_func("/window-fill/ready", test_ready);
    g_test_add_func("/window-fill/small-tmpfs", test_small_tmpfs);
    return g_test_run();
}
