/* SPDX-License-Identifier: Apache-2.0 */
/* What a launch from a snapshot refuses and prepares before there is a QEMU. */
#include "launcher/restore-disks.h"

#include "base/fd.h"
#include "launcher/qemu/state.h"
#include "tests/unit/restore-files.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static void set_up(Restored *f, gconstpointer data)
{
    restored_set_up(f, restored_json, "ram");
}

static void test_qemu(Restored *f, gconstpointer data)
{
    static const struct {
        const char *version;
        const char *machine;
        const char *problem;
    } rows[] = {
        {"7.2.22", "pc-q35-7.2-machine", NULL},
        {"7.2.2", "pc-q35-7.2-machine",
         "snapshot ./s was taken with QEMU 7.2.22, and qemu.binary is QEMU 7.2.2; name one"},
        {"10.0.2", "pc-q35-7.2-machine", "and qemu.binary is QEMU 10.0.2;"},
        {NULL, "pc-q35-7.2-machine", "and qemu.binary is a QEMU that does not say its version;"},
        {"7.2.22", "pc-q35-7.1-machine",
         "snapshot ./s is of the machine pc-q35-7.2, and qemu.machine is pc-q35-7.1; set it to"},
        {"7.2.22", "", "is of the machine pc-q35-7.2, and QEMU does not say which this is"},
        {"7.2.22", NULL, "and QEMU does not say which this is"},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) error = NULL;
        gboolean fits = cvd_restore_check_qemu(f->restore, rows[i].version, &error) &&
                        cvd_restore_check_machine(f->restore, rows[i].machine, &error);
        g_assert_true(fits == (rows[i].problem == NULL));
        if (!fits)
            g_assert_nonnull(strstr(error->message, rows[i].problem));
    }
}

static void test_accelerators(Restored *f, gconstpointer data)
{
    static const struct {
        const char *saved;
        const char *found;
        const char *refused;
        const char *chosen;
        const char *problem;
    } rows[] = {
        {"tcg", "tcg", NULL, "tcg", NULL},
        {"tcg", "kvm,tcg:thread=single", NULL, "tcg:thread=single", NULL},
        {"kvm", "kvm:kernel-irqchip=on,tcg", NULL, "kvm:kernel-irqchip=on", NULL},
        {"tcg", "kvm", NULL, "",
         "qemu.accel: snapshot ./s was taken under tcg, and here the guest would run under kvm; "
         "set "
         "qemu.accel to what it was taken under"},
        {"kvm", "tcg", "/dev/kvm: it is not there", "",
         "would run under tcg: /dev/kvm: it is not there; start it where KVM can be used"},
    };

    g_ptr_array_set_size(f->restore->info->disks, 0);
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GPtrArray) problems = g_ptr_array_new_with_free_func(g_free);
        g_auto(CvdQemuTools) tools = {.accel = g_strsplit(rows[i].found, ",", -1),
                                      .refused = g_strdup(rows[i].refused)};
        for (char **accel = tools.accel; *accel != NULL; accel++)
            g_strdelimit(*accel, ":", ',');
        g_free(f->restore->info->accel);
        ((CvdSnapshotInfo *)f->restore->info)->accel = g_strdup(rows[i].saved);
        gboolean fits = cvd_restore_probe(f->restore, f->config, &tools, problems);
        g_autofree char *chosen = g_strjoinv(" ", tools.accel);
        g_strdelimit(chosen, ",", ':');
        g_assert_cmpstr(chosen, ==, rows[i].chosen);
        g_assert_true(fits == (rows[i].problem == NULL));
        if (!fits)
            g_assert_nonnull(strstr(problems->pdata[0], rows[i].problem));
    }
}

static void test_without_qemu_img(Restored *f, gconstpointer data)
{
    g_auto(CvdQemuTools) tools = {0};

    g_setenv("PATH", "/nowhere", TRUE);
    g_assert_false(cvd_restore_probe(f->restore, f->config, &tools, f->files.problems));
    assert_problem(&f->files, 0, "qemu-img");
    assert_problem(&f->files, 0, "install it (apt install qemu-utils), as snapshot ./s has disks");
}

static void assert_blockdevs(char **found, const char *const *expected)
{
    for (guint i = 0; expected[i] != NULL; i++)
        g_assert_cmpstr(found[i], ==, expected[i]);
    g_assert_cmpuint(g_strv_length(found), ==, g_strv_length((char **)expected));
}

/* An entry that only had a disk's file is gone; what was below a disk is below the snapshot's. */
static void test_disks(Restored *f, gconstpointer data)
{
    static const char cd[] = "{\"driver\":\"raw\",\"node-name\":\"cd\",\"read-only\":true,\"file\":"
                             "{\"driver\":\"file\",\"filename\":\"/cd.iso\"}}";

    g_assert_true(cvd_restore_check(f->restore, f->config, f->files.problems));
    cvd_restore_place_disks(f->restore, f->config, "/elsewhere");
    cvd_restore_place_disks(f->restore, f->config, "/x");
    assert_blockdevs(f->config->qemu.blockdevs,
                     (const char *const[]){
                         "{\"driver\":\"qcow2\",\"node-name\":\"d\",\"file\":{\"driver\":\"file\","
                         "\"filename\":\"/x/disk-0.qcow2\"},\"discard\":\"unmap\",\"cache\":"
                         "{\"no-flush\":true}}",
                         cd,
                         "{\"driver\":\"qcow2\",\"node-name\":\"e\",\"backing\":\"cd\",\"file\":"
                         "{\"driver\":\"file\",\"filename\":\"/x/disk-1.qcow2\"}}",
                         NULL});
    g_auto(GStrv) blockdevs = cvd_restore_get_blockdevs(f->restore, f->config);
    assert_blockdevs(
        blockdevs,
        (const char *const[]){
            "{\"driver\":\"qcow2\",\"node-name\":\"d\",\"file\":{\"driver\":\"file\","
            "\"filename\":\"/dev/fdset/1000000\"},\"discard\":\"unmap\",\"cache\":"
            "{\"no-flush\":true},\"backing\":{\"driver\":\"qcow2\",\"file\":{\"driver\":"
            "\"file\",\"filename\":\"/dev/fdset/1000001\"}}}",
            cd,
            "{\"driver\":\"qcow2\",\"node-name\":\"e\",\"backing\":{\"driver\":\"qcow2\","
            "\"file\":{\"driver\":\"file\",\"filename\":\"/dev/fdset/1000003\"},\"backing\":"
            "\"cd\"},\"file\":{\"driver\":\"file\",\"filename\":\"/dev/fdset/1000002\"}}",
            NULL});
}

/* Of a snapshot of a clone of a clone. */
static void test_layers(Restored *f, gconstpointer data)
{
#define FILE_OF(set) "\"file\":{\"driver\":\"file\",\"filename\":\"/dev/fdset/100000" set "\"}"
#define LAYER(set)   "\"backing\":{\"driver\":\"qcow2\"," FILE_OF(set)
    static const char *const disks[] = {"d", "d", "e", "e", "d"};
    static const char *const overrides[] = {"qemu.blockdevs.1.file={\"driver\":\"file\"}", NULL};
    g_autoptr(CvdConfig) config = restored_load(f, overrides);

    g_ptr_array_set_size(f->restore->info->disks, 0);
    for (gsize i = 0; i < G_N_ELEMENTS(disks); i++)
        g_ptr_array_add(f->restore->info->disks, g_strdup(disks[i]));
    cvd_restore_place_disks(f->restore, config, "/x");
    g_auto(GStrv) blockdevs = cvd_restore_get_blockdevs(f->restore, config);
    g_assert_nonnull(strstr(config->qemu.blockdevs[3], "\"/x/disk-2.qcow2\""));
    g_assert_cmpstr(blockdevs[1], ==,
                    "{\"driver\":\"qcow2\",\"node-name\":\"d\"," FILE_OF(
                        "0") ",\"discard\":\"unmap\","
                             "\"cache\":{\"no-flush\":true}"
                             "," LAYER("1") "," LAYER("2") "," LAYER("6") "}}}}");
    g_assert_cmpstr(blockdevs[3], ==,
                    "{\"driver\":\"qcow2\",\"node-name\":\"e\"," LAYER("4") "," LAYER(
                        "5") ",\"backing\":\"cd\"}}," FILE_OF("3") "}");
}

static void assert_sealed(int fd)
{
    int seals = fcntl(fd, F_GET_SEALS); /* −1 of a file */

    g_assert_cmpint(seals, >, 0);
    g_assert_cmpint(seals & F_SEAL_WRITE, !=, 0);
    g_assert_cmpint(pwrite(fd, "", 1, 0), <, 0);
}

static void prepare(Restored *f, const char *const *overrides, CvdRestoreRam ram)
{
    g_autoptr(CvdConfig) config = restored_load(f, overrides);
    g_auto(CvdQemuTools) tools = {0};
    g_autoptr(GPtrArray) problems = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GError) error = NULL;

    cvd_restore_probe(f->restore, config, &tools, problems);
    g_assert_cmpint(f->restore->ram, ==, ram);
    cvd_restore_verify(f->restore, config, &error);
    g_assert_no_error(error);
}

/* QEMU maps the file itself. */
static void test_ram_is_mapped(Restored *f, gconstpointer data)
{
    struct stat ram, own;

    prepare(f, NULL, CVD_RESTORE_RAM_PRIVATE);
    CvdQemuOrigin origin = cvd_restore_get_origin(f->restore);
    g_assert_true(origin.is_private && origin.is_incoming && !origin.is_read_only);
    g_assert_no_errno(fstat(f->restore->ram_fd, &ram));
    g_assert_no_errno(stat("s/ram", &own));
    g_assert_cmpuint(ram.st_ino, ==, own.st_ino);
    g_assert_cmpint(fcntl(f->restore->ram_fd, F_GETFL) & O_ACCMODE, ==, O_RDONLY);
}

static void test_ram_for_others(Restored *f, gconstpointer data)
{
    static const char *const overrides[] = {"qemu.memory_shared=true", NULL};

    prepare(f, overrides, CVD_RESTORE_RAM_COPIED);
    g_assert_false(cvd_restore_get_origin(f->restore).is_private);
    g_assert_cmpint(f->restore->ram_fd, <, 0);
}

static void test_ram_in_state(void)
{
    Restored f = {0};
    char bytes[16];

    restored_set_up(&f, restored_json, NULL);
    prepare(&f, NULL, CVD_RESTORE_RAM_IN_STATE);
    g_assert_false(cvd_restore_get_origin(f.restore).is_private);
    g_assert_cmpint(pread(f.restore->state_fd, bytes, sizeof bytes, 8), ==, sizeof bytes);
    g_assert_cmpmem(bytes, sizeof bytes, BLOCK("0000:00:10.0"), sizeof bytes);
    restored_tear_down(&f, NULL);
}

/* One copy for all, which nobody can change. */
static void test_ram_is_unpacked(void)
{
    Restored f = {0};
    char bytes[4] = "";

    restored_set_up(&f, restored_json, "ram.zst");
    prepare(&f, NULL, CVD_RESTORE_RAM_PRIVATE);
    assert_sealed(f.restore->ram_fd);
    g_assert_cmpint(pread(f.restore->ram_fd, bytes, 3, RAM_PLACE), ==, 3);
    g_assert_cmpstr(bytes, ==, "RAM");
    restored_tear_down(&f, NULL);
}

/* A guest that gives memory back must not take it from others. */
static void test_ram_with_a_balloon(Restored *f, gconstpointer data)
{
    static const char *const overrides[][3] = {
        {"qemu.blockdevs=[]", "qemu.devices=[{\"driver\":\"virtio-balloon-pci\"}]", NULL},
        {"qemu.extra_args=[\"-device\",\"virtio-balloon-pci,free-page-reporting=on\"]", NULL},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(overrides); i++) {
        prepare(f, overrides[i], CVD_RESTORE_RAM_PRIVATE);
        assert_sealed(f->restore->ram_fd);
        cvd_close_fd(&f->restore->ram_fd);
        cvd_close_fd(&f->restore->state_fd);
    }
}

/* The stream that QEMU gets is another than that of the snapshot, by the place of the window. */
static void test_state(Restored *f, gconstpointer data)
{
    static const char expected[] = "QEVM\0\0\0\3\x19"
                                   "0000:00:10.0/ivshmem.bar2"
                                   "\0\0\0\0\0\0\x20\0"
                                   "\0\0\0\0\0\0\0\0"
                                   "and so on";
    char bytes[sizeof expected + 1];
    g_autoptr(GError) error = NULL;

    prepare(f, NULL, CVD_RESTORE_RAM_PRIVATE);
    assert_sealed(f->restore->state_fd);
    for (guint i = 0; i < 2; i++) {
        cvd_autofd fd = cvd_restore_open_state(f->restore, &error);
        g_assert_no_error(error);
        gssize n = read(fd, bytes, sizeof bytes);
        g_assert_cmpmem(bytes, (gsize)n, expected, sizeof expected);
    }
}

static void test_place_of_window(void)
{
    static const struct {
        const char *bytes;
        gsize size;
        int place; /* of the number that becomes 0; −1: none does */
    } rows[] = {
        {"", 0, -1},
        {BLOCK("0000:00:10.0"), sizeof BLOCK("0000:00:10.0") - 1, 34},
        {BLOCK("0000:00:10.0"), sizeof BLOCK("0000:00:10.0") - 2, -1},
        {"\x19"
         "0000:00:10.0/ivshmem.bar",
         25, -1},
        {"/ivshmem.bar2-" BLOCK("01:02.3"), sizeof "/ivshmem.bar2-" BLOCK("01:02.3") - 1, 43},
        {"/ivshmem.bar2\0\0\0\0\0\0\x10\0\1\1\1\1\1\1\1\1", 29, -1},
    };
    static const guint8 zeros[8];

    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree guint8 *bytes = g_memdup2(rows[i].bytes, rows[i].size + 1);
        gboolean is_found = cvd_state_unplace_window(bytes, rows[i].size, WINDOW_SIZE);
        g_assert_true(is_found == (rows[i].place >= 0));
        if (is_found) {
            g_assert_cmpmem(bytes + rows[i].place, 8, zeros, 8);
            memcpy(bytes + rows[i].place, rows[i].bytes + rows[i].place, 8);
        }
        g_assert_cmpmem(bytes, rows[i].size, rows[i].bytes, rows[i].size);
    }
}

/* Who may rename directories where the snapshot is puts one of his own in its place. */
static void test_exchanged(Restored *f, gconstpointer data)
{
    g_autofree char *path = cvd_restore_get_config_path(f->restore);
    CvdConfigSource source = cvd_restore_get_source(f->restore, path);

    g_assert_no_errno(rename("s", "taken"));
    g_assert_no_errno(mkdir("s", 0700));
    write_file("s/cvd.json", "{\"name\": \"another\"}");
    g_autoptr(CvdConfig) config = cvd_config_load(&source, f->files.problems);
    g_assert_nonnull(config);
    g_assert_cmpstr(config->name, ==, f->config->name);
    g_assert_true(cvd_restore_check(f->restore, config, f->files.problems));
    g_assert_cmpuint(f->files.problems->len, ==, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define add(path, test) g_test_add(path, Restored, NULL, set_up, test, restored_tear_down)
    add("/restore/exchanged", test_exchanged);
    add("/restore/qemu", test_qemu);
    add("/restore/accelerators", test_accelerators);
    add("/restore/without-qemu-img", test_without_qemu_img);
    add("/restore/disks", test_disks);
    add("/restore/layers", test_layers);
    add("/restore/ram-is-mapped", test_ram_is_mapped);
    add("/restore/ram-for-others", test_ram_for_others);
    add("/restore/ram-with-a-balloon", test_ram_with_a_balloon);
    add("/restore/state", test_state);
    g_test_add_func("/restore/ram-in-state", test_ram_in_state);
    g_test_add_func("/restore/ram-is-unpacked", test_ram_is_unpacked);
    g_test_add_func("/restore/place-of-window", test_place_of_window);
    return g_test_run();
}
