/* SPDX-License-Identifier: Apache-2.0 */
/* Contents as words: a letter is a page full of it, `-` a hole, `0` a page of zeros that is none.
 */
#include "base/sparse.h"
#include "base/sparse-zstd.h"

#include "base/error.h"
#include "base/fd.h"
#include "tests/support/rows.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE CVD_SPARSE_PAGE
#define MIB  (1024 * 1024)

/* @end: bytes of one page more; @n_pages: that a copy takes up */
typedef struct {
    const char *path;
    const char *pages;
    const char *end;
    guint n_pages;
} Row;

static const Row rows[] = {
    {"empty", "", "", 0},
    {"one-byte", "", "x", 1},
    {"a-page", "a", "", 1},
    {"a-page-and-a-byte", "a", "x", 2},
    {"a-hole", "----", "", 0},
    {"a-hole-and-a-byte", "----", "x", 1},
    {"zeros-that-are-no-hole", "00a0", "", 1},
    {"begins-and-ends-with-a-hole", "--a--b----", "", 2},
    {"a-hole-between", "a--------b", "yz", 3},
    {"all-pages", "abcdefgh", "", 8},
};

static gsize get_size(const Row *row)
{
    return strlen(row->pages) * PAGE + strlen(row->end);
}

static void write_at(int fd, const void *bytes, gsize size, gsize offset)
{
    g_assert_cmpint(pwrite(fd, bytes, size, (off_t)offset), ==, size);
}

static int make_memory(gsize size)
{
    int fd = memfd_create("memory", MFD_CLOEXEC);

    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(ftruncate(fd, (off_t)size), ==, 0);
    return fd;
}

static int make(const Row *row)
{
    int fd = make_memory(get_size(row));
    gsize n = strlen(row->pages);

    for (gsize i = 0; i < n; i++) {
        char page[PAGE];
        memset(page, row->pages[i] == '0' ? 0 : row->pages[i], PAGE);
        if (row->pages[i] != '-')
            write_at(fd, page, PAGE, i * PAGE);
    }
    write_at(fd, row->end, strlen(row->end), n * PAGE);
    return fd;
}

static guint count_pages(int fd)
{
    struct stat st;

    g_assert_cmpint(fstat(fd, &st), ==, 0);
    return (guint)(st.st_blocks * 512 / PAGE);
}

static char *read_all(int fd, gsize *size)
{
    struct stat st;

    g_assert_cmpint(fstat(fd, &st), ==, 0);
    *size = (gsize)st.st_size;
    char *bytes = g_malloc(*size + 1);
    g_assert_cmpint(pread(fd, bytes, *size, 0), ==, *size);
    return bytes;
}

static void assert_same(int fd, int other)
{
    gsize size, other_size;
    g_autofree char *bytes = read_all(fd, &size), *others = read_all(other, &other_size);

    g_assert_cmpmem(bytes, size, others, other_size);
}

static void test_copy(gconstpointer data)
{
    const Row *row = data;
    g_autoptr(GError) error = NULL;
    cvd_autofd fd = make(row), copy = make_memory(0);

    cvd_sparse_copy(fd, copy, NULL, &error);
    g_assert_no_error(error);
    assert_same(fd, copy);
    g_assert_cmpuint(count_pages(copy), ==, row->n_pages);
}

/* What was there has to go, and memory that was reserved stays so. */
static void test_copy_over(gconstpointer data)
{
    const Row *row = data;
    g_autoptr(GError) error = NULL;
    gsize size = get_size(row);
    g_autofree char *bytes = g_strnfill(size, 'o');
    cvd_autofd fd = make(row), copy = make_memory(size);

    write_at(copy, bytes, size, 0);
    guint n_pages = count_pages(copy);
    cvd_sparse_copy(fd, copy, NULL, &error);
    g_assert_no_error(error);
    assert_same(fd, copy);
    g_assert_cmpuint(count_pages(copy), ==, n_pages);
}

/* By the words of docs/snapshots.md. */
static char *digest_by_hand(const char *bytes, gsize size)
{
    static const char zeros[PAGE];
    g_autoptr(GChecksum) digest = g_checksum_new(G_CHECKSUM_SHA256);
    guint64 number;

    for (gsize at = 0; at < size; at += PAGE) {
        gsize n = MIN(PAGE, size - at);
        if (memcmp(bytes + at, zeros, n) == 0)
            continue;
        number = GUINT64_TO_LE(at);
        g_checksum_update(digest, (const guchar *)&number, 8);
        g_checksum_update(digest, (const guchar *)bytes + at, (gssize)n);
    }
    number = GUINT64_TO_LE(size);
    g_checksum_update(digest, (const guchar *)&number, 8);
    return g_strdup(g_checksum_get_string(digest));
}

static void test_digest(gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    cvd_autofd fd = make(data);
    gsize size;
    g_autofree char *bytes = read_all(fd, &size);
    g_autofree char *expected = digest_by_hand(bytes, size);
    cvd_autofd full = make_memory(size);

    g_autofree char *digest = cvd_sparse_digest(fd, NULL, NULL, NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpstr(digest, ==, expected);
    write_at(full, bytes, size, 0); /* without a hole */
    g_autofree char *digest_of_full = cvd_sparse_digest(full, NULL, NULL, NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpstr(digest_of_full, ==, expected);
}

static void test_pack(gconstpointer data)
{
    const Row *row = data;
    g_autoptr(GError) error = NULL;
    cvd_autofd fd = make(row), packed = make_memory(0), copy = make_memory(0);

    cvd_sparse_pack(fd, packed, NULL, &error);
    g_assert_no_error(error);
    cvd_sparse_unpack(packed, copy, get_size(row), NULL, &error);
    g_assert_no_error(error);
    assert_same(fd, copy);
    g_assert_cmpuint(count_pages(copy), ==, row->n_pages);
}

/* More than is read or packed at once, and data at the edges of that. */
static int make_large(void)
{
    int fd = make_memory(9 * MIB + 5);

    for (gsize at = MIB; at <= 9 * MIB; at += 2 * MIB)
        write_at(fd, "edge", 4, at - 2);
    write_at(fd, "end", 3, 9 * MIB + 2);
    return fd;
}

static void test_large(void)
{
    g_autoptr(GError) error = NULL;
    cvd_autofd fd = make_large(), packed = make_memory(0);
    cvd_autofd copy = make_memory(0), unpacked = make_memory(0);
    gsize size;
    g_autofree char *bytes = read_all(fd, &size);
    g_autofree char *expected = digest_by_hand(bytes, size);

    cvd_sparse_copy(fd, copy, NULL, &error);
    g_assert_no_error(error);
    assert_same(fd, copy);
    cvd_sparse_pack(fd, packed, NULL, &error);
    g_assert_no_error(error);
    cvd_sparse_unpack(packed, unpacked, size, NULL, &error);
    g_assert_no_error(error);
    assert_same(fd, unpacked);
    g_assert_cmpuint(count_pages(unpacked), ==, count_pages(fd));
    g_autofree char *digest = cvd_sparse_digest(copy, NULL, NULL, NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpstr(digest, ==, expected);
}

/* ---- What cannot be unpacked ---- */

static void assert_not_unpacked(int packed, guint64 size, const char *why)
{
    g_autoptr(GError) error = NULL;
    cvd_autofd to = make_memory(0);
    struct stat st;

    g_assert_false(cvd_sparse_unpack(packed, to, size, NULL, &error));
    g_assert_error(error, CVD_ERROR, CVD_ERROR_INVALID);
    if (strstr(error->message, why) == NULL)
        g_error("'%s' is not in '%s'", why, error->message);
    g_assert_cmpint(fstat(to, &st), ==, 0);
    g_assert_cmpint(st.st_size, <=, size);
}

static int pack_large(gsize *size)
{
    g_autoptr(GError) error = NULL;
    cvd_autofd fd = make_large(), packed = make_memory(0);
    struct stat st;

    cvd_sparse_pack(fd, packed, NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpint(fstat(packed, &st), ==, 0);
    *size = (gsize)st.st_size;
    return g_steal_fd(&packed);
}

static void test_truncated(void)
{
    gsize size;
    cvd_autofd packed = pack_large(&size);

    for (gsize n = size - 1;; n /= 2) {
        g_assert_cmpint(ftruncate(packed, (off_t)n), ==, 0);
        assert_not_unpacked(packed, 9 * MIB + 5, "ends after");
        if (n == 0)
            break;
    }
}

/* Some bits have no meaning: then the content is right. */
static void test_flipped(void)
{
    gsize size;
    cvd_autofd packed = pack_large(&size), large = make_large();
    guint n_refused = 0, n_tried = 0;

    for (gsize at = 0; at < size; at += 1 + size / 100) {
        g_autoptr(GError) error = NULL;
        cvd_autofd to = make_memory(0);
        guint8 byte;

        g_assert_cmpint(pread(packed, &byte, 1, (off_t)at), ==, 1);
        byte ^= 0x10;
        write_at(packed, &byte, 1, at);
        if (cvd_sparse_unpack(packed, to, 9 * MIB + 5, NULL, &error))
            assert_same(to, large);
        else
            g_assert_error(error, CVD_ERROR, CVD_ERROR_INVALID);
        n_refused += error != NULL;
        n_tried++;
        byte ^= 0x10;
        write_at(packed, &byte, 1, at);
    }
    g_assert_cmpuint(2 * n_refused, >, n_tried);
}

static void test_other_size(void)
{
    gsize size;
    cvd_autofd packed = pack_large(&size);

    assert_not_unpacked(packed, 9 * MIB + 4, "unpacks to more than 9437188 bytes");
    assert_not_unpacked(packed, MIB, "unpacks to more than 1048576 bytes");
    assert_not_unpacked(packed, 9 * MIB + 6, "ends after 9437189 bytes of 9437190");
    write_at(packed, "garbage", 7, size);
    assert_not_unpacked(packed, 9 * MIB + 5, "zstd: ");
}

/* ---- Interruptions ---- */

typedef struct {
    GCancellable *cancellable;
    guint64 went;
} Interruption;

static gboolean take_some(gpointer data, const guint8 *bytes, gsize size, guint64 offset,
                          GError **error)
{
    Interruption *interruption = data;

    g_assert_cmpuint(size, <=, CVD_SPARSE_STEP);
    interruption->went = offset + size;
    if (interruption->went >= 4 * MIB)
        g_cancellable_cancel(interruption->cancellable);
    return TRUE;
}

static void test_cancelled(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GCancellable) cancellable = g_cancellable_new();
    Interruption interruption = {.cancellable = cancellable};
    const CvdSparseSink sink = {.take = take_some, .data = &interruption};
    g_autofree char *bytes = g_strnfill(8 * MIB, 'x');
    cvd_autofd fd = make_memory(8 * MIB);

    write_at(fd, bytes, 8 * MIB, 0);
    g_assert_false(cvd_sparse_read(fd, 0, 8 * MIB, &sink, cancellable, &error));
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
    g_assert_cmpuint(interruption.went, ==, 4 * MIB);
}

/* Even one who unpacks nothing but zeros stops. */
static void test_cancelled_holes(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GCancellable) cancellable = g_cancellable_new();
    cvd_autofd fd = make_memory(8 * MIB), packed = make_memory(0), to = make_memory(0);

    cvd_sparse_pack(fd, packed, NULL, &error);
    g_assert_no_error(error);
    g_cancellable_cancel(cancellable);
    g_assert_false(cvd_sparse_unpack(packed, to, 8 * MIB, cancellable, &error));
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
    g_clear_error(&error);
    g_assert_false(cvd_sparse_pack(fd, to, cancellable, &error));
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
}

static void test_of_other_size(void)
{
    g_autoptr(GError) error = NULL;
    cvd_autofd fd = make_memory(PAGE), to = make_memory(2 * PAGE);

    g_assert_false(cvd_sparse_copy(fd, to, NULL, &error));
    g_assert_error(error, CVD_ERROR, CVD_ERROR_INVALID);
    g_assert_cmpstr(error->message, ==, "has 8192 bytes, not 4096");
}

/* Neither holes nor write(2) are to be had there. */
static void test_huge_pages(void)
{
    g_autoptr(GError) error = NULL;
    cvd_autofd fd = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB | 21U << MAP_HUGE_SHIFT);
    cvd_autofd from = make_memory(2 * MIB), back = make_memory(0);

    char *map = fd >= 0 && ftruncate(fd, 2 * MIB) == 0
                    ? mmap(NULL, 2 * MIB, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)
                    : MAP_FAILED;
    if (map == MAP_FAILED) {
        g_test_skip("fewer than 1 pages of 2 MiB are free");
        return;
    }
    memset(map, 'o', MIB);
    write_at(from, "begin", 5, 0);
    write_at(from, "end", 3, 2 * MIB - 3);
    gboolean is_copied = cvd_sparse_copy(from, fd, NULL, &error);
    g_assert_no_error(error);
    g_assert_true(is_copied);
    cvd_sparse_copy(fd, back, NULL, &error);
    g_assert_no_error(error);
    assert_same(from, back);
    munmap(map, 2 * MIB);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    test_add_rows(g_test_add_data_func, "/sparse/copy/", rows, test_copy);
    test_add_rows(g_test_add_data_func, "/sparse/copy-over/", rows, test_copy_over);
    test_add_rows(g_test_add_data_func, "/sparse/digest/", rows, test_digest);
    test_add_rows(g_test_add_data_func, "/sparse/pack/", rows, test_pack);
    g_test_add_func("/sparse/large", test_large);
    g_test_add_func("/sparse/copy-to-another-size", test_of_other_size);
    g_test_add_func("/sparse/huge-pages", test_huge_pages);
    g_test_add_func("/sparse/unpack/truncated", test_truncated);
    g_test_add_func("/sparse/unpack/flipped", test_flipped);
    g_test_add_func("/sparse/unpack/other-size", test_other_size);
    g_test_add_func("/sparse/cancelled", test_cancelled);
    g_test_add_func("/sparse/cancelled-in-holes", test_cancelled_holes);
    return g_test_run();
}
