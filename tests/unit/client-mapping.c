/* SPDX-License-Identifier: Apache-2.0 */
#include "client/mapping.h"
#include "client/types.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define BEGIN 0x3000U
#define END   0x5000U
#define SIZE  (END - BEGIN)

/* As section 2 of the window's specification has it for two tables of 4 slots. */
static const struct vsoc_device_region good = {
    .current_version = 5,
    .min_compatible_version = 3,
    .region_begin_offset = BEGIN,
    .region_end_offset = END,
    .offset_of_region_data = 40,
    .guest_to_host_signal_table = {2, 0, 16},
    .host_to_guest_signal_table = {2, 20, 36},
    .device_name = "good",
};

/* One region of a window with room behind it. */
static const struct vsoc_shm_layout_descriptor layout = {
    .major_version = 2,
    .size = 0x200000,
    .region_count = 1,
    .vsoc_region_desc_offset = 16,
};

static gboolean is_good_until(const struct vsoc_device_region *descriptor, guint32 end)
{
    g_autoptr(GError) error = NULL;
    gboolean is_fine = cvd_mapping_check(&layout, descriptor, "good", BEGIN, end, &error);

    if (!is_fine)
        g_assert_error(error, CVD_REGION_ERROR, CVD_REGION_ERROR_BAD_DESCRIPTOR);
    return is_fine;
}

static gboolean is_good(const struct vsoc_device_region *descriptor)
{
    return is_good_until(descriptor, END);
}

#define FIELD(name) offsetof(struct vsoc_device_region, name)
#define IN          FIELD(guest_to_host_signal_table)
#define OUT         FIELD(host_to_guest_signal_table)

static void test_bounds(void)
{
    static const struct {
        gsize field;
        guint32 value;
        gboolean expected;
    } cases[] = {
        {FIELD(region_begin_offset), BEGIN + 0x1000, FALSE},
        {FIELD(region_end_offset), END + 0x1000, FALSE},
        {FIELD(offset_of_region_data), SIZE, TRUE},
        {FIELD(offset_of_region_data), SIZE + 4, FALSE},
        {FIELD(offset_of_region_data), 0xfffffffc, FALSE},
        {FIELD(offset_of_region_data), 42, FALSE},
        {IN, 1, TRUE},
        {IN, 12, FALSE},
        {IN, 17, FALSE},
        {IN, 32, FALSE},
        {IN, 0xffffffff, FALSE},
        {OUT, 12, FALSE},
        /* The tables and words come before the data, and do not overlap. */
        {IN + 4, 4, FALSE},
        {IN + 4, 40, FALSE},
        {IN + 4, SIZE - 16, FALSE},
        {IN + 4, 2, FALSE},
        {IN + 4, 0xfffffff0, FALSE},
        {OUT + 4, 24, FALSE},
        {OUT + 4, SIZE - 16, FALSE},
        {OUT + 4, 0xfffffffc, FALSE},
        {IN + 8, 40, FALSE},
        {IN + 8, SIZE, FALSE},
        {IN + 8, 17, FALSE},
        {IN + 8, 0xfffffffc, FALSE},
        {OUT + 8, 16, FALSE},
        {OUT + 8, SIZE, FALSE},
        {OUT + 8, 0xffffffff, FALSE},
        {FIELD(managed_by), 0xffffffff, TRUE},
    };

    g_assert_true(is_good(&good));
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        struct vsoc_device_region descriptor = good;
        memcpy((char *)&descriptor + cases[i].field, &cases[i].value, sizeof cases[i].value);
        g_test_message("%" G_GSIZE_FORMAT ": 0x%x", cases[i].field, cases[i].value);
        g_assert_cmpint(is_good(&descriptor), ==, cases[i].expected);
    }
}

static void test_largest_table(void)
{
    struct vsoc_device_region descriptor = good;

    descriptor.region_end_offset = BEGIN + 0x100000;
    descriptor.offset_of_region_data = 0xa0000;
    descriptor.guest_to_host_signal_table = (struct vsoc_signal_table_layout){16, 40, 0x40028};
    g_assert_true(is_good_until(&descriptor, BEGIN + 0x100000));
    descriptor.guest_to_host_signal_table.num_nodes_lg2 = 17;
    g_assert_false(is_good_until(&descriptor, BEGIN + 0x100000));
}

static void test_names(void)
{
    struct vsoc_device_region descriptor = good;

    strcpy(descriptor.device_name, "goo");
    g_assert_false(is_good(&descriptor));
    strcpy(descriptor.device_name, "goods");
    g_assert_false(is_good(&descriptor));
    memset(descriptor.device_name, 'g', sizeof descriptor.device_name); /* no NUL */
    g_assert_false(is_good(&descriptor));
}

static int window_new(gsize size)
{
    int fd = memfd_create("test-window", MFD_CLOEXEC);

    g_assert_cmpint(ftruncate(fd, (off_t)size), ==, 0);
    return fd;
}

static void put(int window, const void *bytes, gsize size, guint64 offset)
{
    g_assert_cmpint(pwrite(window, bytes, size, (off_t)offset), ==, size);
}

static void put_header(int window, guint16 major, guint32 count, guint32 where)
{
    const struct vsoc_shm_layout_descriptor header = {
        .major_version = major,
        .size = 0x8000,
        .region_count = count,
        .vsoc_region_desc_offset = where,
    };

    put(window, &header, sizeof header, 0);
}

static void assert_fails(int window, guint version, CvdRegionError code)
{
    g_autoptr(GError) error = NULL;

    g_assert_null(cvd_mapping_new(window, "good", BEGIN, END, version, &error));
    g_assert_error(error, CVD_REGION_ERROR, (int)code);
    g_test_message("%s", error->message);
}

static gboolean is_mapped(void *page)
{
    unsigned char is_resident;

    return mincore(page, 1, &is_resident) == 0;
}

static void assert_maps(int window, guint version)
{
    g_autoptr(GError) error = NULL;
    CvdMapping *mapping = cvd_mapping_new(window, "good", BEGIN, END, version, &error);

    g_assert_no_error(error);
    g_assert_cmpmem(&mapping->descriptor, sizeof good, &good, sizeof good);
    g_assert_cmpuint(mapping->size, ==, SIZE);
    guint32 mark = 0x12345678;
    put(window, &mark, sizeof mark, END - 4);
    g_assert_cmpmem(mapping->base + SIZE - 4, 4, &mark, 4);
    void *base = mapping->base;
    cvd_mapping_free(mapping);
    g_assert_false(is_mapped(base));
}

static void test_versions(void)
{
    int window = window_new(0x8000);

    put_header(window, 2, 1, 16);
    put(window, &good, sizeof good, 16);
    assert_fails(window, 2, CVD_REGION_ERROR_VERSION);
    assert_maps(window, 3);
    assert_maps(window, 5);
    assert_fails(window, 6, CVD_REGION_ERROR_VERSION);
    assert_maps(window, 0);
    put_header(window, 1, 1, 16);
    assert_fails(window, 0, CVD_REGION_ERROR_VERSION);
    put_header(window, 3, 1, 16);
    assert_fails(window, 0, CVD_REGION_ERROR_VERSION);
    close(window);
}

/* It is found at every place, in an array in order and in one that is not. */
static void test_finding(void)
{
    const guint n = 130;

    for (guint is_sorted = 0; is_sorted < 2; is_sorted++) {
        for (guint place = 0; place < n; place++) {
            int window = window_new(0x8000);
            put_header(window, 2, n, 32);
            for (guint i = 0; i < n; i++) {
                /* In order: below it before its place, above it behind. */
                guint32 begin = i < place ? i : END + i;
                struct vsoc_device_region other = {
                    .region_begin_offset = is_sorted ? begin : END + n - i,
                };
                put(window, i == place ? &good : &other, sizeof good, 32 + i * sizeof good);
            }
            assert_maps(window, 0);
            close(window);
        }
    }
}

static void test_hostile_headers(void)
{
    static const struct {
        guint32 count;
        guint32 where;
    } cases[] = {
        {0, 16}, {2049, 16},      {0xffffffff, 16}, {2048, 0x7fff},   {1, 0},
        {1, 15}, {1, 0xffffffff}, {1, 0x8000},      {2048, 0xffffff}, {1, 0x8000 - 59},
    };
    int window = window_new(0x8000);

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        put_header(window, 2, cases[i].count, cases[i].where);
        assert_fails(window, 0, CVD_REGION_ERROR_BAD_DESCRIPTOR);
    }
    put_header(window, 2, 1, 0x8000 - 60);
    put(window, &good, sizeof good, 0x8000 - 60);
    assert_maps(window, 0);
    close(window);
}

/* What the server says is no part of the window. */
static void test_places(void)
{
    static const struct {
        guint32 begin;
        guint32 end;
    } cases[] = {{END, BEGIN},     {BEGIN, BEGIN},  {BEGIN + 4, END}, {BEGIN, END - 4},
                 {0x7000, 0x9000}, {0xfffff000, 0}, {0, 0xfffff000},  {0x8000, 0x9000}};
    int window = window_new(0x8000);

    put_header(window, 2, 1, 16);
    put(window, &good, sizeof good, 16);
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;
        g_assert_null(cvd_mapping_new(window, "good", cases[i].begin, cases[i].end, 0, &error));
        g_assert_error(error, CVD_REGION_ERROR, CVD_REGION_ERROR_PROTOCOL);
    }
    close(window);

    int pipe_fds[2];
    g_assert_cmpint(pipe(pipe_fds), ==, 0);
    assert_fails(pipe_fds[0], 0, CVD_REGION_ERROR_PROTOCOL);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/client-mapping/bounds", test_bounds);
    g_test_add_func("/client-mapping/largest-table", test_largest_table);
    g_test_add_func("/client-mapping/names", test_names);
    g_test_add_func("/client-mapping/versions", test_versions);
    g_test_add_func("/client-mapping/found-at-every-place", test_finding);
    g_test_add_func("/client-mapping/hostile-headers", test_hostile_headers);
    g_test_add_func("/client-mapping/places-outside", test_places);
    return g_test_run();
}
