/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/restore-files.h"

#include "base/fd.h"
#include "base/snapshot-writer.h"
#include "launcher/config/layout-print.h"

#include <string.h>
#include <unistd.h>

const char restored_json[] =
    "{\"layout\": " LAYOUT ", \"ivshmem\": {\"migratable\": true}, \"qemu\": {"
    " \"accel\": \"tcg\", \"memory\": \"4M\", \"cpu\": \"max\", \"smp\": 2,"
    " \"blockdevs\": [{\"driver\": \"file\", \"node-name\": \"f\", \"filename\": \"/old/d.qcow2\"},"
    "  {\"driver\": \"qcow2\", \"node-name\": \"d\", \"file\": \"f\", \"discard\": \"unmap\","
    "   \"cache\": {\"direct\": true, \"no-flush\": true}},"
    "  {\"driver\": \"raw\", \"node-name\": \"cd\", \"read-only\": true,"
    "   \"file\": {\"driver\": \"file\", \"filename\": \"/cd.iso\"}},"
    "  {\"driver\": \"qcow2\", \"node-name\": \"e\", \"backing\": \"cd\","
    "   \"file\": {\"driver\": \"file\", \"filename\": \"/old/e.qcow2\"}}],"
    " \"devices\": [{\"driver\": \"virtio-blk-pci\", \"drive\": \"d\"},"
    "  {\"driver\": \"virtio-blk-pci\", \"drive\": \"e\"}]}}";

CvdConfig *restored_load(Restored *f, const char *const *overrides)
{
    CvdConfigSource source = cvd_restore_get_source(f->restore, "conf/cvd.json");

    source.opened = NULL;
    g_ptr_array_set_size(f->files.problems, 0);
    source.overrides = overrides;
    CvdConfig *config = cvd_config_load(&source, f->files.problems);
    if (config == NULL)
        g_error("%s", (char *)f->files.problems->pdata[0]);
    return config;
}

static void write_bytes(CvdSnapshotWriter *writer, const char *file, gconstpointer bytes,
                        gsize size, off_t at, off_t end)
{
    g_autoptr(GError) error = NULL;
    cvd_autofd fd = cvd_snapshot_writer_create(writer, file, &error);

    g_assert_no_error(error);
    g_assert_cmpint(pwrite(fd, bytes, size, at), ==, (gssize)size);
    g_assert_no_errno(ftruncate(fd, end));
}

static CvdSnapshotInfo *make_info(const CvdConfig *config)
{
    CvdSnapshotInfo *info = cvd_snapshot_info_new();

    info->name = g_strdup("s");
    info->product_version = g_strdup("0.1");
    info->instance = g_strdup("one");
    info->qemu_version = g_strdup("7.2.22");
    info->machine = g_strdup("pc-q35-7.2");
    info->accel = g_strdup("tcg");
    info->memory_bytes = RAM_SIZE;
    info->layout_digest = cvd_layout_digest(config->layout);
    g_ptr_array_add(info->disks, g_strdup("d"));
    g_ptr_array_add(info->disks, g_strdup("e"));
    return info;
}

/* @ram: the file that has it; NULL: it is in the state */
static void make_snapshot(const Restored *f, const CvdConfig *config, const char *ram)
{
    static const char state[] = "QEVM\0\0\0\3" BLOCK("0000:00:10.0") "and so on";
    g_autofree char *path = g_build_filename(f->files.directory, "s", NULL);
    g_autofree char *text = cvd_config_format(config);
    g_autoptr(GError) error = NULL;
    g_autoptr(CvdSnapshotInfo) info = make_info(config);
    g_autoptr(CvdSnapshotWriter) writer = cvd_snapshot_writer_new(path, &error);

    g_assert_no_error(error);
    write_bytes(writer, "cvd.json", text, strlen(text), 0, (off_t)strlen(text));
    write_bytes(writer, "state", state, sizeof state, 0, sizeof state);
    write_bytes(writer, "window", "w", 1, 4096, WINDOW_SIZE);
    write_bytes(writer, "disk-0.qcow2", "d", 1, 0, 1);
    write_bytes(writer, "disk-1.qcow2", "e", 1, 0, 1);
    if (ram != NULL)
        write_bytes(writer, "ram", "RAM", 3, RAM_PLACE, RAM_SIZE);
    if (g_strcmp0(ram, "ram.zst") == 0)
        cvd_snapshot_writer_compress(writer, NULL, &error);
    g_assert_no_error(error);
    cvd_snapshot_writer_finish(writer, info, NULL, &error);
    g_assert_no_error(error);
}

void restored_set_up(Restored *f, const char *json, const char *ram)
{
    const CvdConfigSource source = {.path = "conf/cvd.json"};
    g_autoptr(GError) error = NULL;

    files_set_up(&f->files, NULL);
    write_file("conf/cvd.json", json);
    g_autoptr(CvdConfig) config = cvd_config_load(&source, f->files.problems);
    g_assert_nonnull(config);
    make_snapshot(f, config, ram);
    f->restore = cvd_restore_open("./s", &error);
    g_assert_no_error(error);
    f->config = restored_load(f, NULL);
}

void restored_tear_down(Restored *f, gconstpointer data)
{
    cvd_config_free(f->config);
    cvd_restore_free(f->restore);
    files_tear_down(&f->files, NULL);
}
