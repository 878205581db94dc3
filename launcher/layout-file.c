/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads both forms of vsoc_mem.json by one set of tables: what the servers of 2017 accepted is the
 * current form with more keys and with numbers that may be strings.
 *
 * All problems are to come out in one go, those of the rules too. So when the reading found some,
 * the rules still judge what could be read; and what they say of a value that is broken already
 * (remembered by its JSON path), or that follows from it, is left out.
 */
#include "launcher/layout-file.h"

#include "base/log.h"
#include "base/nearest.h"
#include "launcher/json.h"

#include <string.h>

#define MAX_QUOTED       40 /* bytes of a value that a problem repeats */
#define MAX_WINDOW_SIZE  "2147483648"
#define REGIONS_PER_VCPU 190 /* MSI-X interrupts of one device that a Linux guest can take */

typedef struct {
    CvdLayoutFile *file;
    const char *origin;
    GPtrArray *problems;
    GHashTable *broken; /* JSON paths of values that had a problem */
    gboolean a_name_is_broken;
    int major; /* as declared; −1: not */
    int minor;
} Reader;

typedef struct Key Key;

/* Reads @node, found at @path, into @target, the structure that the table of @key is for. */
typedef void (*Read)(Reader *reader, const char *path, JsonNode *node, const Key *key,
                     gpointer target);

struct Key {
    const char *name;
    Read read;
    gsize offset;        /* of the value in the target */
    const char *allowed; /* of an integer */
    const Key *keys;     /* of an object */
};

static void read_object(Reader *, const char *, JsonNode *, const Key *, gpointer);

static G_GNUC_PRINTF(3, 4) void report(Reader *reader, const char *path, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    g_ptr_array_add(reader->problems, g_strdup_printf("%s: %s%s%s", reader->origin, path,
                                                      *path != '\0' ? ": " : "", text));
    g_hash_table_add(reader->broken, g_strdup(path));
}

static const char *string_of(JsonNode *node)
{
    if (!JSON_NODE_HOLDS_VALUE(node) || json_node_get_value_type(node) != G_TYPE_STRING)
        return NULL;
    return json_node_get_string(node);
}

static char *describe(JsonNode *node)
{
    if (JSON_NODE_HOLDS_OBJECT(node))
        return g_strdup("an object");
    if (JSON_NODE_HOLDS_ARRAY(node))
        return g_strdup("a list");
    const char *string = string_of(node);
    if (string == NULL)
        return json_to_string(node, FALSE);
    if (strlen(string) <= MAX_QUOTED)
        return g_strdup_printf("\"%s\"", string);
    const char *end = g_utf8_find_prev_char(string, string + MAX_QUOTED + 1);
    return g_strdup_printf("\"%.*s…\"", (int)(end - string), string);
}

static void report_found(Reader *reader, const char *path, JsonNode *node, const char *expected)
{
    g_autofree char *found = describe(node);

    report(reader, path, "found %s; expected %s", found, expected);
}

static char *member_path(const char *path, const char *name)
{
    g_autofree char *escaped = cvd_escape_bytes(name, strlen(name));

    return g_strdup_printf("%s%s%s", path, *path != '\0' ? "." : "", escaped);
}

/* Whether @text is digits, with or without a minus. */
static gboolean is_decimal(const char *text)
{
    const char *digits = text + (text[0] == '-');

    return digits[0] != '\0' && strspn(digits, "0123456789") == strlen(digits);
}

/* An integer, or a string with one, that fits; the least gint64 stands for "not given". */
static gboolean integer_of(JsonNode *node, gint64 *value)
{
    const char *text = string_of(node);

    if (text != NULL)
        return is_decimal(text) &&
               g_ascii_string_to_signed(text, 10, -G_MAXINT64, G_MAXINT64, value, NULL);
    if (!JSON_NODE_HOLDS_VALUE(node) || json_node_get_value_type(node) != G_TYPE_INT64)
        return FALSE;
    *value = json_node_get_int(node);
    return *value != CVD_UNSET;
}

static void read_integer(Reader *reader, const char *path, JsonNode *node, const Key *key,
                         gpointer target)
{
    gint64 *field = G_STRUCT_MEMBER_P(target, key->offset);
    gint64 value;

    if (!integer_of(node, &value)) {
        g_autofree char *expected = g_strdup_printf("an integer from %s", key->allowed);
        report_found(reader, path, node, expected);
    } else if (*field != CVD_UNSET && *field != value) {
        report(reader, path, "%" G_GINT64_FORMAT " was given before; keep one of them", *field);
    } else {
        *field = value;
    }
}

/* `size` of the files of 2017 may be prose for people: then it says nothing. */
static void read_size(Reader *reader, const char *path, JsonNode *node, const Key *key,
                      gpointer target)
{
    const char *text = string_of(node);

    if (text == NULL || is_decimal(text))
        read_integer(reader, path, node, key, target);
}

static void read_version_part(Reader *reader, const char *path, JsonNode *node, const Key *key,
                              gpointer target)
{
    int *part = strcmp(key->name, "major_version") == 0 ? &reader->major : &reader->minor;
    gint64 value;

    if (integer_of(node, &value) && value >= 0 && value <= G_MAXUINT16) {
        *part = (int)value;
        return;
    }
    g_autofree char *expected = g_strdup_printf("an integer from %s", key->allowed);
    report_found(reader, path, node, expected);
}

/* `version` of the oldest files: a number or a text, only ever told of. */
static void read_version(Reader *reader, const char *path, JsonNode *node, const Key *key,
                         gpointer target)
{
    CvdLayoutFile *file = reader->file;
    const char *text = string_of(node);

    if (text == NULL &&
        (!JSON_NODE_HOLDS_VALUE(node) || json_node_get_value_type(node) == G_TYPE_BOOLEAN)) {
        report_found(reader, path, node, "a version, as a number or a string");
        return;
    }
    g_free(file->declared_version);
    file->declared_version =
        text != NULL ? cvd_escape_bytes(text, strlen(text)) : json_to_string(node, FALSE);
}

static void read_string(Reader *reader, const char *path, JsonNode *node, const Key *key,
                        gpointer target)
{
    char **field = G_STRUCT_MEMBER_P(target, key->offset);

    if (string_of(node) == NULL) {
        report_found(reader, path, node, "a string");
        return;
    }
    g_free(*field);
    *field = g_strdup(string_of(node));
}

static void read_words(Reader *reader, const char *path, JsonNode *node, const Key *key,
                       gpointer target)
{
    char **field = G_STRUCT_MEMBER_P(target, key->offset);
    g_autoptr(GPtrArray) words = g_ptr_array_new();

    if (!JSON_NODE_HOLDS_ARRAY(node)) {
        report_found(reader, path, node, "a list of strings");
        return;
    }
    JsonArray *array = json_node_get_array(node);
    for (guint i = 0; i < json_array_get_length(array); i++) {
        JsonNode *element = json_array_get_element(array, i);
        g_autofree char *element_path = g_strdup_printf("%s[%u]", path, i);
        if (string_of(element) == NULL)
            report_found(reader, element_path, element, "a string");
        else
            g_ptr_array_add(words, (gpointer)string_of(element));
    }
    g_ptr_array_add(words, NULL);
    g_free(*field);
    *field = words->len > 1 ? g_strjoinv(" ", (char **)words->pdata) : NULL;
}

static void read_comment(Reader *reader, const char *path, JsonNode *node, const Key *key,
                         gpointer target)
{
    /* May be anything. */
}

#define COMMENTS                                                                                   \
    {.name = "comment", .read = read_comment},                                                     \
    {                                                                                              \
        .name = "__comment", .read = read_comment                                                  \
    }
#define DESCRIPTOR_KEYS                                                                            \
    {.name = "major_version", .read = read_version_part, .allowed = "0 to 65535"},                 \
        {.name = "minor_version", .read = read_version_part, .allowed = "0 to 65535"},             \
        {"size", read_size, G_STRUCT_OFFSET(CvdLayoutSpec, declared_size),                         \
         "0 to " MAX_WINDOW_SIZE, NULL},                                                           \
        {"region_count", read_integer, G_STRUCT_OFFSET(CvdLayoutSpec, region_count), "1 to 2048",  \
         NULL},                                                                                    \
    {                                                                                              \
        "vsoc_region_desc_offset", read_integer,                                                   \
            G_STRUCT_OFFSET(CvdLayoutSpec, region_desc_offset), "16 to " MAX_WINDOW_SIZE, NULL     \
    }

/* clang-format off */
#define INTEGER(NAME, FIELD, ALLOWED) \
    {NAME, read_integer, G_STRUCT_OFFSET(CvdRegionSpec, FIELD), ALLOWED, NULL}

static const Key to_host_keys[] = {
    INTEGER("num_nodes_lg2", guest_to_host_nodes_lg2, "0 to 16"),
    COMMENTS,
    {0},
};

static const Key to_guest_keys[] = {
    INTEGER("num_nodes_lg2", host_to_guest_nodes_lg2, "0 to 16"),
    COMMENTS,
    {0},
};

static const Key region_keys[] = {
    {"device_name", read_string, G_STRUCT_OFFSET(CvdRegionSpec, name), NULL, NULL},
    INTEGER("current_version", current_version, "0 to 65535"),
    INTEGER("min_compatible_version", min_compatible_version, "0 to 65535"),
    INTEGER("region_size", size, "4096 to " MAX_WINDOW_SIZE),
    INTEGER("region_begin_offset", begin, "0 to " MAX_WINDOW_SIZE),
    INTEGER("region_end_offset", end, "0 to " MAX_WINDOW_SIZE),
    {"guest_to_host_signal_table", read_object, 0, NULL, to_host_keys},
    {"host_to_guest_signal_table", read_object, 0, NULL, to_guest_keys},
    {"managed_by", read_string, G_STRUCT_OFFSET(CvdRegionSpec, managed_by), NULL, NULL},
    COMMENTS,
    {0},
};

static const Key guest_keys[] = {
    {"vmm_path", read_string, G_STRUCT_OFFSET(CvdLayoutFile, vmm_path), NULL, NULL},
    {"kernel_command_line", read_words, G_STRUCT_OFFSET(CvdLayoutFile, kernel_command_line), NULL,
     NULL},
    COMMENTS,
    {0},
};

static const Key descriptor_keys[] = {
    DESCRIPTOR_KEYS,
    COMMENTS,
    {0},
};
/* clang-format on */

static void read_keys(Reader *reader, const char *path, JsonNode *node, const Key *keys,
                      gpointer target);

static void read_object(Reader *reader, const char *path, JsonNode *node, const Key *key,
                        gpointer target)
{
    read_keys(reader, path, node, key->keys, target);
}

static void read_guest(Reader *reader, const char *path, JsonNode *node, const Key *key,
                       gpointer target)
{
    read_keys(reader, path, node, guest_keys, reader->file);
}

static void read_descriptor(Reader *reader, const char *path, JsonNode *node, const Key *key,
                            gpointer target)
{
    reader->file->has_descriptor = TRUE;
    read_keys(reader, path, node, descriptor_keys, target);
}

/* An element that cannot be read still counts, so that indices and the number of regions hold. */
static void read_regions(Reader *reader, const char *path, JsonNode *node, const Key *key,
                         gpointer target)
{
    if (!JSON_NODE_HOLDS_ARRAY(node)) {
        report_found(reader, path, node, "a list of regions");
        return;
    }
    JsonArray *array = json_node_get_array(node);
    for (guint i = 0; i < json_array_get_length(array); i++) {
        g_autofree char *element_path = g_strdup_printf("%s[%u]", path, i);
        CvdRegionSpec *region = cvd_layout_spec_add_region(target);
        guint n_before = reader->problems->len;
        read_keys(reader, element_path, json_array_get_element(array, i), region_keys, region);
        if (region->name == NULL && reader->problems->len > n_before)
            reader->a_name_is_broken = TRUE;
    }
}

static const Key root_keys[] = {
    {.name = "vsoc_device_regions", .read = read_regions},
    {.name = "vsoc_shm_layout_descriptor", .read = read_descriptor},
    {.name = "guest", .read = read_guest},
    {.name = "version", .read = read_version},
    DESCRIPTOR_KEYS,
    COMMENTS,
    {0},
};

/* What was probably meant by an unknown key must not be told to be missing as well. */
static void report_unknown(Reader *reader, const char *path, const char *name, const Key *keys)
{
    g_autofree char *here = member_path(path, name);
    g_autoptr(GPtrArray) known = g_ptr_array_new();

    for (; keys->name != NULL; keys++)
        g_ptr_array_add(known, (gpointer)keys->name);
    g_ptr_array_add(known, NULL);
    const char *nearest = cvd_nearest_name(name, (const char *const *)known->pdata);
    if (nearest != NULL) {
        report(reader, here, "unknown key; did you mean \"%s\"?", nearest);
        g_hash_table_add(reader->broken, member_path(path, nearest));
    } else {
        g_autofree char *all = g_strjoinv(", ", (char **)known->pdata);
        report(reader, here, "unknown key; known are %s", all);
    }
}

static void read_keys(Reader *reader, const char *path, JsonNode *node, const Key *keys,
                      gpointer target)
{
    if (!JSON_NODE_HOLDS_OBJECT(node)) {
        report_found(reader, path, node, "an object");
        return;
    }
    JsonObjectIter iter;
    const char *name;
    JsonNode *value;
    json_object_iter_init_ordered(&iter, json_node_get_object(node));
    while (json_object_iter_next_ordered(&iter, &name, &value)) {
        const Key *key = keys;
        while (key->name != NULL && strcmp(key->name, name) != 0)
            key++;
        if (key->name == NULL) {
            report_unknown(reader, path, name, keys);
            continue;
        }
        g_autofree char *member = member_path(path, name);
        key->read(reader, member, value, key, target);
    }
}

static void read_root(Reader *reader, JsonNode *root)
{
    read_keys(reader, "", root, root_keys, reader->file->spec);
    if (!JSON_NODE_HOLDS_OBJECT(root))
        return;
    if (!json_object_has_member(json_node_get_object(root), "vsoc_device_regions") &&
        !g_hash_table_contains(reader->broken, "vsoc_device_regions"))
        report(reader, "vsoc_device_regions", "missing; give a list of regions");
    if (reader->major >= 0 || reader->minor >= 0) {
        g_free(reader->file->declared_version);
        reader->file->declared_version =
            g_strdup_printf("%d.%d", MAX(reader->major, 0), MAX(reader->minor, 0));
    }
}

/* The JSON path of a problem of the rules; only the layout descriptor's fields may be in two
 * places. */
static char *problem_path(const CvdLayoutFile *file, const CvdLayoutProblem *problem)
{
    static const char *const outside[] = {"vsoc_device_regions", "window.size", NULL};
    const char *field = problem->field;

    if (problem->region >= 0)
        return g_strdup_printf("vsoc_device_regions[%d]%s%s", problem->region,
                               field != NULL ? "." : "", field != NULL ? field : "");
    if (field != NULL && file->has_descriptor && !g_strv_contains(outside, field))
        return g_strdup_printf("vsoc_shm_layout_descriptor.%s", field);
    return g_strdup(field != NULL ? field : "vsoc_device_regions");
}

/* Whether the value at @path, or something that it is part of, had a problem. */
static gboolean is_broken(GHashTable *broken, const char *path)
{
    g_autofree char *part = g_strdup(path);

    for (;;) {
        if (g_hash_table_contains(broken, part))
            return TRUE;
        gsize length = strlen(part);
        while (length > 0 && part[length] != '.' && part[length] != '[')
            length--;
        if (length == 0)
            return g_hash_table_contains(broken, "");
        part[length] = '\0';
    }
}

/* Whether a problem of the rules comes from a value that could not be read. */
static gboolean follows(const Reader *reader, const CvdLayoutProblem *problem)
{
    g_autofree char *path = problem_path(reader->file, problem);

    if (is_broken(reader->broken, path))
        return TRUE;
    if (g_strcmp0(problem->field, "managed_by") == 0)
        return reader->a_name_is_broken;
    if (g_strcmp0(problem->field, "min_compatible_version") == 0) {
        g_autofree char *current =
            g_strdup_printf("vsoc_device_regions[%d].current_version", problem->region);
        return g_hash_table_contains(reader->broken, current);
    }
    return FALSE;
}

static void append_problem(const CvdLayoutFile *file, const char *origin,
                           const CvdLayoutProblem *problem, GPtrArray *problems)
{
    g_autofree char *path = problem_path(file, problem);

    g_ptr_array_add(problems, g_strdup_printf("%s: %s: %s", origin, path, problem->message));
}

static GPtrArray *rule_problems_new(void)
{
    return g_ptr_array_new_with_free_func((GDestroyNotify)cvd_layout_problem_free);
}

static void report_broken_rules(Reader *reader)
{
    g_autoptr(GPtrArray) broken_rules = rule_problems_new();

    cvd_layout_unref(cvd_layout_new(reader->file->spec, broken_rules));
    for (guint i = 0; i < broken_rules->len; i++) {
        const CvdLayoutProblem *problem = g_ptr_array_index(broken_rules, i);
        if (!follows(reader, problem))
            append_problem(reader->file, reader->origin, problem, reader->problems);
    }
}

CvdLayoutFile *cvd_layout_file_parse(JsonNode *root, const char *origin, GPtrArray *problems)
{
    g_autoptr(CvdLayoutFile) file = g_new0(CvdLayoutFile, 1);
    g_autoptr(GHashTable) broken = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    Reader reader = {
        .file = file,
        .origin = origin,
        .problems = problems,
        .broken = broken,
        .major = -1,
        .minor = -1,
    };
    guint n_before = problems->len;

    file->spec = cvd_layout_spec_new();
    read_root(&reader, root);
    if (problems->len == n_before)
        return g_steal_pointer(&file);
    report_broken_rules(&reader);
    return NULL;
}

void cvd_layout_file_free(CvdLayoutFile *file)
{
    if (file == NULL)
        return;
    cvd_layout_spec_free(file->spec);
    g_free(file->vmm_path);
    g_free(file->kernel_command_line);
    g_free(file->declared_version);
    g_free(file);
}

static gboolean is_digits(const char *text)
{
    return strspn(text, "0123456789") == strlen(text);
}

/* Whether a Linux guest has a device node of that name already, so that a driver cannot make it. */
static gboolean is_taken_in_dev(const char *name)
{
    static const char *const taken[] = {
        "autofs",    "block",  "bus",      "char", "console",     "core",   "cpu",
        "disk",      "dri",    "fb0",      "fd",   "full",        "fuse",   "hpet",
        "hugepages", "hwrng",  "input",    "kmem", "kmsg",        "kvm",    "log",
        "mapper",    "mem",    "mqueue",   "net",  "null",        "nvram",  "port",
        "ppp",       "psaux",  "ptmx",     "pts",  "random",      "rfkill", "rtc",
        "rtc0",      "shm",    "snapshot", "snd",  "stderr",      "stdin",  "stdout",
        "uhid",      "uinput", "urandom",  "vfio", "vga_arbiter", "zero",   NULL};
    static const char *const numbered[] = {"loop", "ram", "vcs", "vcsa", "vcsu", NULL};

    if (g_str_has_prefix(name, "tty") || g_strv_contains(taken, name))
        return TRUE;
    for (guint i = 0; numbered[i] != NULL; i++)
        if (g_str_has_prefix(name, numbered[i]) && is_digits(name + strlen(numbered[i])))
            return TRUE;
    return FALSE;
}

static void warn_of_guest_limits(const CvdLayout *layout, const char *origin, guint n_vcpus)
{
    guint n_needed = (layout->n_regions + REGIONS_PER_VCPU - 1) / REGIONS_PER_VCPU;

    if (n_needed > MAX(n_vcpus, 1))
        g_warning("%s: %u regions need as many MSI-X interrupts; a Linux guest takes about %d a "
                  "vCPU: give it %u vCPUs (smp), or fewer regions",
                  origin, layout->n_regions, REGIONS_PER_VCPU, n_needed);
    for (guint i = 0; i < layout->n_regions; i++)
        if (is_taken_in_dev(layout->regions[i].name))
            g_warning(
                "%s: vsoc_device_regions[%u].device_name: a Linux guest has a /dev/%s "
                "already, so that its driver could not make the region's; choose another name",
                origin, i, layout->regions[i].name);
}

static gboolean is_current_version(const char *version)
{
    return strcmp(version, "2.0") == 0 || strcmp(version, "2") == 0;
}

CvdLayout *cvd_layout_file_compute(const CvdLayoutFile *file, const char *origin,
                                   guint64 min_window_size, guint64 granule, guint n_vcpus,
                                   GPtrArray *problems)
{
    g_autoptr(GPtrArray) broken_rules = rule_problems_new();
    CvdLayoutSpec spec = *file->spec;

    spec.granule = granule;
    if (min_window_size > 0)
        spec.min_window_size = (gint64)MIN(min_window_size, (guint64)G_MAXINT64);
    CvdLayout *layout = cvd_layout_new(&spec, broken_rules);
    for (guint i = 0; i < broken_rules->len; i++)
        append_problem(file, origin, g_ptr_array_index(broken_rules, i), problems);
    if (layout == NULL)
        return NULL;

    if (file->declared_version != NULL && !is_current_version(file->declared_version))
        g_message("%s: declares layout version %s; the window is written as version 2.0", origin,
                  file->declared_version);
    warn_of_guest_limits(layout, origin, n_vcpus);
    return layout;
}
