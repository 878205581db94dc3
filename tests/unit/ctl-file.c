/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptors that an instance passes may be of anything. */
#include "ctl/ctl.h"

#include "base/error.h"
#include "base/fd.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#define MAX_SIZE 5000

static int new_memory(off_t size)
{
    int fd = memfd_create("unit", MFD_CLOEXEC);

    g_assert_no_errno(ftruncate(fd, size));
    g_assert_cmpint(pwrite(fd, "ab", 2, 0), ==, 2);
    return fd;
}

static void test_as_long_as_may_be(void)
{
    cvd_autofd fd = new_memory(MAX_SIZE);
    gsize size;
    g_autofree char *bytes = cvd_ctl_read(fd, MAX_SIZE, &size, NULL);

    g_assert_cmpuint(size, ==, MAX_SIZE);
    g_assert_cmpstr(bytes, ==, "ab");
}

static void assert_refused(int fd)
{
    g_autoptr(GError) error = NULL;
    gsize size;

    g_assert_null(cvd_ctl_read(fd, MAX_SIZE, &size, &error));
    g_assert_error(error, CVD_ERROR, CVD_ERROR_PROTOCOL);
}

static void test_refused(void)
{
    cvd_autofd one_more = new_memory(MAX_SIZE + 1);
    cvd_autofd tebibyte = new_memory((off_t)1 << 40);
    cvd_autofd endless = open("/dev/zero", O_RDONLY | O_CLOEXEC);
    int ends[2];

    g_assert_no_errno(pipe2(ends, O_CLOEXEC)); /* of which nothing comes */
    assert_refused(one_more);
    assert_refused(tebibyte);
    assert_refused(endless);
    assert_refused(ends[0]);
    close(ends[0]);
    close(ends[1]);
}

/* Who replies may leave descriptors out, or mean others than it passes. */
static void test_passed(void)
{
    g_autoptr(GUnixFDList) list = g_unix_fd_list_new();
    g_autoptr(GUnixFDList) empty = g_unix_fd_list_new();
    cvd_autofd sent = new_memory(1);
    const struct {
        GUnixFDList *list;
        int index;
        gboolean is_there;
    } rows[] = {{list, 0, TRUE},         {list, 1, FALSE}, {list, -1, FALSE},
                {list, G_MININT, FALSE}, {NULL, 0, FALSE}, {empty, 0, FALSE}};

    g_assert_cmpint(g_unix_fd_list_append(list, sent, NULL), ==, 0);
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) error = NULL;
        cvd_autofd fd = cvd_ctl_get_fd(rows[i].list, rows[i].index, &error);
        g_assert_cmpint(fd >= 0, ==, rows[i].is_there);
        g_assert_cmpint(g_error_matches(error, CVD_ERROR, CVD_ERROR_PROTOCOL), !=,
                        rows[i].is_there);
    }
}

static void test_window_size(void)
{
    g_autofree char *deep = g_strnfill(100000, '[');
    const struct {
        const char *record;
        off_t size;
    } rows[] = {
        {"{\"config\":{\"layout\":{\"window_size\":4096}}}", 4096},
        {"{\"config\":{\"layout\":{\"window_size\":-1}}}", 0},
        {"{\"config\":{\"layout\":[4096]}}", 0},
        {"{}", 0},
        {"[]", 0},
        {"5", 0},
        {"", 0},
        {"no JSON", 0},
        {deep, 0},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++)
        g_assert_cmpint(cvd_ctl_get_window_size(rows[i].record), ==, rows[i].size);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ctl-file/as-long-as-may-be", test_as_long_as_may_be);
    g_test_add_func("/ctl-file/refused", test_refused);
    g_test_add_func("/ctl-file/passed", test_passed);
    g_test_add_func("/ctl-file/window-size", test_window_size);
    return g_test_run();
}
