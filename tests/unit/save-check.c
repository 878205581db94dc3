/* SPDX-License-Identifier: Apache-2.0 */
/* Which disks, devices and memory a snapshot can have. JSON is written with ' for ". */
#include "launcher/qemu/save-check.h"

#include "base/error.h"
#include "base/json.h"
#include "tests/support/rows.h"

#include <string.h>

#define N_TEXTS 4

static char *quote(const char *text)
{
    return g_strdelimit(g_strdup(text), "'", '"');
}

static JsonNode *parse(const char *text)
{
    g_autofree char *quoted = quote(text);
    g_autoptr(GError) error = NULL;
    JsonNode *node = cvd_json_from_string(quoted, &error);

    g_assert_no_error(error);
    return node;
}

/* As the configuration has them: each an argument of QEMU. */
static char **quote_all(const char *const *texts)
{
    g_autoptr(GStrvBuilder) builder = g_strv_builder_new();

    for (guint i = 0; i < N_TEXTS && texts[i] != NULL; i++) {
        g_autofree char *quoted = quote(texts[i]);
        g_strv_builder_add(builder, quoted);
    }
    return g_strv_builder_end(builder);
}

static void config_clear(CvdConfig *config)
{
    g_strfreev(config->qemu.blockdevs);
    g_strfreev(config->qemu.devices);
    g_strfreev(config->qemu.extra_args);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(CvdConfig, config_clear)

/* ---- Disks ---- */

typedef struct {
    const char *title;
    const char *blockdevs[N_TEXTS];
    const char *blocks; /* QEMU's */
    const char *disks;  /* `NODE=PATH(SIZE) `, or a part of the error */
} Disk;

#define FILE_NODE(FILE)   "'file': {'driver': 'file', 'filename': '" FILE "'}"
#define QCOW2(NODE, FILE) "{'driver': 'qcow2', 'node-name': '" NODE "', " FILE_NODE(FILE) "}"
#define INSERTED(NODE, MORE)                                                                       \
    "{'device': '', 'inserted': {'node-name': '" NODE "', 'ro': false, 'drv': 'qcow2',"            \
    " 'file': '/etc/shadow'" MORE "}}"
#define IMAGE(MORE) ", 'image': {'format': 'qcow2', " MORE "}"

static const Disk disks[] = {
    {"none", {NULL}, "[]", ""},
    {"no-medium", {NULL}, "[{'device': 'cd0'}, {'device': 'cd1', 'inserted': null}]", ""},
    {"qcow2", {QCOW2("a", "/d/a.qcow2")}, "[" INSERTED("a", "") "]", "a=/d/a.qcow2 "},
    {"relative-to-qemu", {QCOW2("a", "a.qcow2")}, "[" INSERTED("a", "") "]", "a=/qemu/a.qcow2 "},
    {"order-of-the-configuration",
     {QCOW2("a", "/a"), QCOW2("b", "/b"), QCOW2("c", "/c")},
     "[" INSERTED("c", "") ", " INSERTED("a", "") "]",
     "a=/a c=/c "},
    {"two-devices-have-one", /* which QEMU permits only to those that share it */
     {QCOW2("a", "/a")},
     "[" INSERTED("a", "") ", " INSERTED("a", "") "]",
     "a=/a "},
    {"file-of-its-own",
     {"{'driver': 'qcow2', 'node-name': 'a', 'file': 'f'}",
      "{'driver': 'file', 'node-name': 'f', 'filename': '/f'}"},
     "[" INSERTED("a", "") "]",
     "a=/f "},
    {"read-only-raw",
     {"{'driver': 'raw', 'node-name': 'a', " FILE_NODE("/a") "}"},
     "[{'inserted': {'node-name': 'a', 'ro': true, 'drv': 'raw'}}]",
     ""},
    {"raw",
     {QCOW2("a", "/a"), "{'driver': 'raw', 'node-name': 'data', " FILE_NODE("/d/my disk") "}"},
     "[" INSERTED("data", "") "]",
     "qemu.blockdevs[1] \"data\" is raw, and only a qcow2 can be saved: make it one (qemu-img "
     "convert -O qcow2 '/d/my disk' '/d/my disk.qcow2'), or make it read-only"},
    {"file-without-a-format",
     {"{'driver': 'file', 'node-name': 'a', 'filename': '/a'}"},
     "[" INSERTED("a", "") "]",
     "qemu.blockdevs[0] \"a\" is raw, and only a qcow2 can be saved: make it one (qemu-img convert "
     "-O qcow2 '/a' '/a.qcow2')"},
    {"filter",
     {QCOW2("a", "/a"), "{'driver': 'throttle', 'node-name': 't', 'file': 'a'}"},
     "[" INSERTED("t", "") "]",
     "qemu.blockdevs[1] \"t\" is throttle, and only a qcow2 can be saved"},
    {"on-a-device",
     {"{'driver': 'qcow2', 'node-name': 'a', 'file': {'driver': 'host_device', 'filename': "
      "'/dev/sda'}}"},
     "[" INSERTED("a", "") "]",
     "\"a\" is on host_device, and only a file can be saved"},
    {"file-is-elsewhere",
     {"{'driver': 'qcow2', 'node-name': 'a', 'file': 'f'}"},
     "[" INSERTED("a", "") "]",
     "\"a\" is on something else, and only a file can be saved"},
    {"locking-off",
     {"{'driver': 'qcow2', 'node-name': 'a', 'file': {'driver': 'file', 'filename': '/a',"
      " 'locking': 'off'}}"},
     "[" INSERTED("a", "") "]",
     "\"a\" may be written by others, too"},
    {"force-share",
     {"{'driver': 'qcow2', 'node-name': 'a', 'force-share': true, " FILE_NODE("/a") "}"},
     "[" INSERTED("a", "") "]",
     "\"a\" may be written by others, too"},
    {"extra-args",
     {QCOW2("a", "/a")},
     "[" INSERTED("#block123", "") "]",
     "the disk /etc/shadow is not in qemu.blockdevs, so that it cannot be saved"},
    {"absolute-backing-file",
     {QCOW2("a", "/a")},
     "[" INSERTED("a", IMAGE("'backing-filename': '/b'")) "]",
     "a=/a "},
    {"size",
     {QCOW2("a", "/a")},
     "[" INSERTED("a", IMAGE("'virtual-size': 1048576")) "]",
     "a=/a(1048576) "},
    {"no-size", {QCOW2("a", "/a")}, "[" INSERTED("a", IMAGE("'virtual-size': -1")) "]", "a=/a "},
    {"relative-backing-file",
     {QCOW2("a", "/d/a")},
     "[" INSERTED("a", IMAGE("'backing-filename': 'b', 'full-backing-filename': '/d/b',"
                             " 'backing-filename-format': 'raw'")) "]",
     "\"a\" has the backing file \"b\", which a copy in another directory would not find; stop the "
     "machine and give it the whole path (qemu-img rebase -u -F raw -b '/d/b' '/d/a')"},
    {"backing-file-that-the-configuration-chooses",
     {"{'driver': 'qcow2', 'node-name': 'a', 'backing': 'b', " FILE_NODE("/a") "}"},
     "[" INSERTED("a", IMAGE("'backing-filename': 'b'")) "]",
     "a=/a "},
    {"data-in-another-file",
     {QCOW2("a", "/a")},
     "[" INSERTED("a",
                  IMAGE("'format-specific': {'type': 'qcow2', 'data': {'data-file': 'x'}}")) "]",
     "\"a\" has its data in another file"},
    {"nonsense", {QCOW2("a", "/a")}, "{'a': [1]}", ""},
    {"nonsense-in-it", {QCOW2("a", "/a")}, "[1, [], {'inserted': 1}]", ""},
    {"disk-of-nonsense",
     {QCOW2("a", "/a")},
     "[{'inserted': {'ro': 1}}]",
     "is not in qemu.blockdevs"},
};

static void test_disk(gconstpointer data)
{
    const Disk *row = data;
    const char *const no_devices[N_TEXTS] = {NULL};
    g_auto(CvdConfig) config = {.qemu = {.directory = (char *)"/qemu",
                                         .blockdevs = quote_all(row->blockdevs),
                                         .devices = quote_all(no_devices)}};
    g_autoptr(JsonNode) blocks = parse(row->blocks);
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) found = cvd_save_find_disks(&config, blocks, &error);
    g_autoptr(GString) text = g_string_new(NULL);

    for (guint i = 0; found != NULL && i < found->len; i++) {
        const CvdSaveDisk *disk = found->pdata[i];
        g_string_append_printf(text, "%s=%s", disk->node, disk->path);
        if (disk->size > 0)
            g_string_append_printf(text, "(%ju)", disk->size);
        g_string_append_c(text, ' ');
    }
    if (found != NULL) {
        g_assert_cmpstr(text->str, ==, row->disks);
        return;
    }
    g_assert_error(error, CVD_ERROR, CVD_ERROR_FAILED);
    if (row->disks[0] == '\0' || strstr(error->message, row->disks) == NULL)
        g_error("\"%s\" does not contain \"%s\"", error->message, row->disks);
}

/* A device says so, too. */
static void test_share_rw(void)
{
    static const struct {
        const char *device;
        gboolean is_shared;
    } rows[] = {
        {"{'driver': 'virtio-blk', 'drive': 'a', 'share-rw': true}", TRUE},
        {"{'driver': 'virtio-blk', 'drive': 'a', 'share-rw': 'on'}", TRUE},
        {"{'driver': 'virtio-blk', 'drive': 'a', 'share-rw': false}", FALSE},
        {"{'driver': 'virtio-blk', 'drive': 'b', 'share-rw': true}", FALSE},
    };
    const char *const blockdevs[N_TEXTS] = {QCOW2("a", "/a")};

    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        const char *const texts[N_TEXTS] = {rows[i].device};
        g_auto(CvdConfig) config = {.qemu = {.directory = (char *)"/qemu",
                                             .blockdevs = quote_all(blockdevs),
                                             .devices = quote_all(texts)}};
        g_autoptr(JsonNode) blocks = parse("[" INSERTED("a", "") "]");
        g_autoptr(GPtrArray) found = cvd_save_find_disks(&config, blocks, NULL);
        g_assert_cmpint(found == NULL, ==, rows[i].is_shared);
    }
}

/* ---- Devices ---- */

typedef struct {
    const char *title;
    gboolean is_migratable;
    const char *devices[N_TEXTS];
    const char *extra_args[N_TEXTS];
    const char *error; /* a part of it; NULL: it can be saved */
} Device;

static const Device devices[] = {
    {"not-migratable", FALSE, {NULL}, {NULL}, "set ivshmem.migratable to true in cvd.json, then"},
    {"migratable",
     TRUE,
     {"{'driver': 'virtio-net', 'id': 'vhost-user-blk'}"},
     {"-nographic"},
     NULL},
    {"vhost-user-net", TRUE, {"{'driver': 'vhost-user-net'}"}, {NULL}, NULL},
    {"vhost-user-blk",
     TRUE,
     {"{'driver': 'virtio-net'}", "{'driver': 'vhost-user-blk-pci'}"},
     {NULL},
     "qemu.devices[1]: what the program behind vhost-user-blk holds cannot be saved; take the "
     "device out"},
    {"vhost-user-fs", TRUE, {"{'driver': 'vhost-user-fs-pci'}"}, {NULL}, "vhost-user-fs holds"},
    {"vhost-user-scsi",
     TRUE,
     {"{'driver': 'vhost-user-scsi-pci'}"},
     {NULL},
     "vhost-user-scsi holds"},
    {"extra-args",
     TRUE,
     {NULL},
     {"-device", "vhost-scsi-pci,wwpn=naa.5"},
     "qemu.extra_args[1]: what the program behind vhost-scsi holds"},
};

static void test_device(gconstpointer data)
{
    const Device *row = data;
    g_auto(CvdConfig) config = {
        .ivshmem_migratable = row->is_migratable,
        .qemu = {.devices = quote_all(row->devices), .extra_args = quote_all(row->extra_args)}};
    g_autoptr(GError) error = NULL;

    g_assert_cmpint(cvd_save_check_config(&config, &error), ==, row->error == NULL);
    if (row->error != NULL && strstr(error->message, row->error) == NULL)
        g_error("\"%s\" does not contain \"%s\"", error->message, row->error);
}

/* ---- Memory ---- */

static void test_memory(void)
{
    static const struct {
        const char *memdevs;
        gboolean is_other;
    } rows[] = {
        {"[]", FALSE},
        {"[{'id': 'cvd-ram', 'share': true}]", FALSE},
        {"[{'id': 'cvd-ram', 'share': true}, {'id': 'nvdimm', 'share': false}]", FALSE},
        {"[{'id': 'cvd-ram', 'share': true}, {'id': 'nvdimm', 'share': true}]", TRUE},
        {"[{'share': true}]", TRUE},
        {"null", FALSE},
    };

    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(JsonNode) memdevs = parse(rows[i].memdevs);
        g_assert_cmpint(cvd_save_has_other_shared_memory(memdevs), ==, rows[i].is_other);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    test_add_rows(g_test_add_data_func, "/save-check/disk/", disks, test_disk);
    test_add_rows(g_test_add_data_func, "/save-check/device/", devices, test_device);
    g_test_add_func("/save-check/disk/share-rw", test_share_rw);
    g_test_add_func("/save-check/memory", test_memory);
    return g_test_run();
}
