/* SPDX-License-Identifier: Apache-2.0 */
/* What must not differ between a machine and the snapshot that it is started from. */
#include "tests/unit/restore-files.h"

static void set_up(Restored *f, gconstpointer data)
{
    restored_set_up(f, restored_json, "ram");
}

typedef struct {
    const char *overrides[3];
    const char *problems[3];
} Difference;

static void assert_differences(Restored *f, const Difference *rows, gsize n_rows)
{
    for (gsize i = 0; i < n_rows; i++) {
        guint n = g_strv_length((char **)rows[i].problems);
        g_autoptr(CvdConfig) config = restored_load(f, rows[i].overrides);
        g_ptr_array_set_size(f->files.problems, 0);
        g_assert_true(cvd_restore_check(f->restore, config, f->files.problems) == (n == 0));
        for (guint k = 0; k < n; k++)
            assert_problem(&f->files, k, rows[i].problems[k]);
        g_assert_cmpuint(f->files.problems->len, ==, n);
    }
}

/* @json: of a machine without disks */
static void assert_differences_from(const char *json, const Difference *rows, gsize n_rows)
{
    Restored f = {0};

    restored_set_up(&f, json, "ram");
    g_ptr_array_set_size(f.restore->info->disks, 0);
    assert_differences(&f, rows, n_rows);
    restored_tear_down(&f, NULL);
}

static void test_differences(Restored *f, gconstpointer data)
{
    static const Difference rows[] = {
        {{0}, {0}},
        {{"qemu.kernel=k", "qemu.serial=none"}, {0}},
        {{"qemu.machine=pc-q35-7.2"}, {0}},
        {{"lifecycle.on_crash=restart", "programs={\"p\": {\"argv\": [\"x\"]}}"}, {0}},
        {{"qemu.memory=8M"},
         {"qemu.memory: is 8M, and in snapshot ./s 4M; set it to 4M, or boot without --from and"}},
        {{"qemu.machine=pc"}, {"qemu.machine: is \"pc\", and in snapshot ./s \"q35\"; set it to"}},
        {{"qemu.machine=pc-q35-7.2,smm=off"}, {"qemu.machine: is \"pc-q35-7.2,smm=off\", and"}},
        {{"qemu.cpu=qemu64"}, {"qemu.cpu: is \"qemu64\", and in snapshot ./s \"max\"; set it"}},
        {{"qemu.smp=1", "qemu.cpu=base"}, {"qemu.cpu: is", "qemu.smp: is \"1\", and in"}},
        {{"qemu.cpu=null"}, {"qemu.cpu: is not set, and in snapshot ./s \"max\"; set it to \"max"}},
        {{"qemu.firmware=qboot.rom"},
         {"qemu.firmware: is \"qboot.rom\", and in snapshot ./s not set; leave it out, or boot"}},
        {{"qemu.watchdog_s=5"}, {"qemu.watchdog_s: is 5, and in snapshot ./s 0; set it to 0"}},
        {{"qemu.devices=[]"},
         {"qemu.devices[0]: is not set, and in snapshot ./s {\"driver\":\"virtio-blk-pci\","
          "\"drive\":\"d\"}; set it to {"}},
        {{"qemu.devices.1.driver=e1000"},
         {"qemu.devices[1].driver: is \"e1000\", and in snapshot ./s \"virtio-blk-pci\"; set"}},
        {{"qemu.devices.1.num-queues=8"},
         {"qemu.devices[1].num-queues: is 8, and in snapshot ./s not set; leave it out"}},
        {{"qemu.devices.1={\"driver\":\"virtio-blk-pci\"}"},
         {"qemu.devices[1].drive: is not set, and in snapshot ./s \"e\"; set it to \"e\""}},
        {{"qemu.devices.1={\"drive\":\"e\",\"driver\":\"virtio-blk-pci\"}"}, {0}},
        {{"ivshmem.address=0x11"}, {"ivshmem.address: is \"0x11\", and in snapshot ./s \"0x10\""}},
        {{"ivshmem.migratable=false"},
         {"ivshmem.migratable: is false, and in snapshot ./s true; set it to true, or boot"}},
    };

    assert_differences(f, rows, G_N_ELEMENTS(rows));
}

#define A40 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

/* What is shown of long values is where they differ, at any depth. */
static void test_long_values(void)
{
    static const char json[] =
        "{\"layout\": " LAYOUT
        ", \"ivshmem\": {\"migratable\": true}, \"qemu\": {\"memory\": \"4M\","
        " \"firmware\": \"/" A40 "é/b/c\", \"devices\": [{\"driver\": \"" A40 "\","
        " \"id\": \"x\", \"list\": [{\"n\": 1}, {\"deep\": {\"n\": 1, \"m\": [2]}}]}]}}";
    static const Difference rows[] = {
        {{"qemu.firmware=/" A40 "é/x/c"},
         {"qemu.firmware: is …aaaaaaaé/x/c\", and in snapshot ./s …aaaaaaaé/b/c\"; set it as in "}},
        {{"qemu.devices.0.list.1.deep.n=3"},
         {"qemu.devices[0].list[1].deep.n: is 3, and in snapshot ./s 1; set it to 1, or boot"}},
        {{"qemu.devices.0.list.1.deep.m=[2,5]"},
         {"qemu.devices[0].list[1].deep.m[1]: is 5, and in snapshot ./s not set; leave it out"}},
        {{"qemu.devices.0.list.1=null"},
         {"qemu.devices[0].list[1]: is not set, and in snapshot ./s {\"deep\":{\"n\":1,"}},
    };

    assert_differences_from(json, rows, G_N_ELEMENTS(rows));
}

#define MACHINE(regions)                                                                           \
    "{\"layout\": {\"vsoc_device_regions\": [" regions "]}, \"ivshmem\": {\"migratable\": true},"  \
    " \"qemu\": {\"memory\": \"4M\"}}"
#define AT "layout.vsoc_device_regions"

/* In the words of the layout file. */
static void test_layouts(void)
{
    static const char json[] =
        MACHINE("{\"device_name\": \"a\", \"region_size\": 8192},"
                "{\"device_name\": \"b\", \"region_size\": \"8K\", \"current_version\": 2},"
                "{\"device_name\": \"c\", \"region_size\": 8192, \"managed_by\": \"b\"}");
    static const Difference rows[] = {
        {{AT ".1.exclusive=true"}, {0}},
        {{AT ".0.device_name=x"},
         {AT
          "[0].device_name (region x): is \"x\", and in snapshot ./s \"a\"; set it to \"a\", or"}},
        {{AT ".1.current_version=3", AT ".2.current_version=4"},
         {AT "[1].current_version (region b): is 3, and in snapshot ./s 2; set it to 2, or boot"}},
        {{AT ".1.min_compatible_version=1"},
         {AT "[1].min_compatible_version (region b): is 1, and"}},
        {{AT ".1.region_size=16K"},
         {AT "[1].region_size (region b): is 16384, and in snapshot ./s 8192; set it to 8192, or"}},
        {{AT ".0.guest_to_host_signal_table.num_nodes_lg2=3"},
         {AT
          "[0].guest_to_host_signal_table.num_nodes_lg2 (region a): is 3, and in snapshot ./s 0"}},
        {{AT ".0.host_to_guest_signal_table.num_nodes_lg2=2"},
         {AT "[0].host_to_guest_signal_table.num_nodes_lg2 (region a): is 2, and in snapshot ./s"}},
        {{AT ".2.managed_by=null"},
         {AT "[2].managed_by (region c): is not set, and in snapshot ./s \"b\"; set it to \"b\""}},
        {{AT ".0.managed_by=c"},
         {AT "[0].managed_by (region a): is \"c\", and in snapshot ./s not set; leave it out"}},
        {{AT ".3={\"device_name\": \"new\", \"region_size\": 4096}"},
         {AT "[3]: is region new, which snapshot ./s does not have; leave it out, or boot"}},
        {{AT ".2=null"}, {AT ": has no region c, which snapshot ./s has at [2]; add it as in "}},
        {{"layout.vsoc_region_desc_offset=64"},
         {"layout.vsoc_region_desc_offset: is 64, and in snapshot ./s 16; set it to 16, or boot"}},
        {{"window.size=4M"},
         {"window.size: is 4194304, and in snapshot ./s not set; leave it out, or boot"}},
        {{"layout.size=4194304"},
         {"layout.size: is 4194304, and in snapshot ./s 32768; set it to"}},
        {{"window.hugepages=2M"},
         {"window.hugepages: is \"2M\", and in snapshot ./s not set; leave it out, or boot"}},
        {{"ivshmem.migratable=false", AT ".1.region_size=16K"},
         {"ivshmem.migratable: is false", AT "[1].region_size (region b): is 16384"}},
    };

    assert_differences_from(json, rows, G_N_ELEMENTS(rows));
}

static void test_layouts_of_2017(void)
{
    static const char json[] = MACHINE("{\"device_name\": \"a\", \"region_begin_offset\": 4096,"
                                       " \"region_end_offset\": 16384}");
    static const Difference rows[] = {
        {{AT ".0.region_begin_offset=8192"},
         {AT "[0].region_begin_offset (region a): is 8192, and in snapshot ./s 4096; set it to"}},
        {{AT ".0.region_end_offset=20480"},
         {AT "[0].region_end_offset (region a): is 20480, and in snapshot ./s 16384; set it to"}},
    };

    assert_differences_from(json, rows, G_N_ELEMENTS(rows));
}

/* The snapshot says what its window is like; this version computes another one. */
static void test_other_product(Restored *f, gconstpointer data)
{
    char *digest = f->restore->info->layout_digest;

    digest[0] = digest[0] == '0' ? '1' : '0';
    g_assert_false(cvd_restore_check(f->restore, f->config, f->files.problems));
    assert_problem(&f->files, 0, "makes another window of it than 0.1 did, which took snapshot");
}

static void test_disk_is_missing(Restored *f, gconstpointer data)
{
    static const char *const overrides[] = {"qemu.blockdevs=[]", "qemu.devices=[]", NULL};
    g_autoptr(CvdConfig) config = restored_load(f, overrides);

    g_assert_false(cvd_restore_check(f->restore, config, f->files.problems));
    assert_problem(&f->files, 1, "qemu.blockdevs: has no \"node-name\" \"d\", which snapshot ./s");
    assert_problem(&f->files, 2, "qemu.blockdevs: has no \"node-name\" \"e\", which snapshot ./s");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define add(path, test) g_test_add(path, Restored, NULL, set_up, test, restored_tear_down)
    add("/restore-check/differences", test_differences);
    add("/restore-check/other-product", test_other_product);
    add("/restore-check/disk-is-missing", test_disk_is_missing);
    g_test_add_func("/restore-check/long-values", test_long_values);
    g_test_add_func("/restore-check/layouts", test_layouts);
    g_test_add_func("/restore-check/layouts-of-2017", test_layouts_of_2017);
    return g_test_run();
}
