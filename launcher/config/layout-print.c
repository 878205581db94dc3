/* SPDX-License-Identifier: Apache-2.0 */
/* Three ways to show a window, and what tells it from others. */
#include "launcher/config/layout-print.h"

#include "base/json.h"
#include "launcher/config/types.h"
#include "server/layout-private.h"
#include "vsoc/abi.h"

#include <string.h>

/* The bytes that descriptors and regions take. */
static guint64 used_size(const CvdLayout *layout)
{
    guint64 used =
        layout->region_desc_offset + (guint64)layout->n_regions * sizeof(struct vsoc_device_region);

    used = (used + layout->granule - 1) / layout->granule * layout->granule;
    for (guint i = 0; i < layout->n_regions; i++)
        used += layout->regions[i].end - layout->regions[i].begin;
    return used;
}

static void append_summary(GString *text, const CvdLayout *layout)
{
    guint64 used = used_size(layout);
    g_autofree char *window = cvd_format_size(layout->window_size);
    g_autofree char *used_text = cvd_format_size(used);
    g_autofree char *free_text = cvd_format_size(layout->window_size - used);

    g_string_append_printf(text,
                           "window %s (%u bytes): %u region%s, %s used, %s free; descriptors at "
                           "0x%x\n\n",
                           window, layout->window_size, layout->n_regions,
                           layout->n_regions == 1 ? "" : "s", used_text, free_text,
                           layout->region_desc_offset);
}

static void append_row(GString *text, const CvdLayout *layout, guint i)
{
    const CvdLayoutRegion *region = &layout->regions[i];
    g_autofree char *size = cvd_format_size(region->end - region->begin);
    g_autofree char *data = g_strdup_printf("+0x%x", region->data_offset);
    g_autofree char *slots = g_strdup_printf("%u/%u", 1u << region->guest_to_host.num_nodes_lg2,
                                             1u << region->host_to_guest.num_nodes_lg2);
    g_autofree char *version =
        g_strdup_printf("%u/%u", region->current_version, region->min_compatible_version);
    const char *manager = region->managed_by != 0 ? layout->regions[region->managed_by].name : "-";
    g_autofree char *name = g_strconcat(region->name, region->is_exclusive ? "*" : "", NULL);

    g_string_append_printf(text, "%4u  %-16s 0x%08x-0x%08x %7s %9s %11s %11s  %s\n", i, name,
                           region->begin, region->end, size, data, slots, version, manager);
}

char *cvd_layout_to_text(const CvdLayout *layout)
{
    GString *text = g_string_new(NULL);

    append_summary(text, layout);
    g_string_append_printf(text, "%4s  %-15s  %-21s %7s %9s %11s %11s  %s\n", "#", "name",
                           "begin-end", "size", "data", "slots >/<", "version/min", "managed by");
    for (guint i = 0; i < layout->n_regions; i++)
        append_row(text, layout, i);
    g_string_append(text, "\nslots >/<: signal table entries, guest to host / host to guest; data: "
                          "in the region;\n*: exclusive, for one program at a time\n");
    return g_string_free(text, FALSE);
}

static GVariant *table_to_variant(const CvdSignalTable *table)
{
    return g_variant_new_parsed("{'num_nodes_lg2': %u, 'futex_uaddr_table_offset': %u,"
                                " 'interrupt_signalled_offset': %u}",
                                table->num_nodes_lg2, table->table_offset,
                                table->interrupt_signalled_offset);
}

static GVariant *region_to_variant(const CvdLayout *layout, guint i)
{
    const CvdLayoutRegion *region = &layout->regions[i];
    const char *manager = region->managed_by != 0 ? layout->regions[region->managed_by].name : NULL;

    return g_variant_new_parsed(
        "{'index': <%u>, 'device_name': <%s>, 'current_version': <%u>,"
        " 'min_compatible_version': <%u>, 'region_begin_offset': <%u>, 'region_end_offset': <%u>,"
        " 'region_size': <%u>, 'offset_of_region_data': <%u>,"
        " 'guest_to_host_signal_table': <%@a{su}>, 'host_to_guest_signal_table': <%@a{su}>,"
        " 'managed_by': <%ms>, 'exclusive': <%b>}",
        i, region->name, (guint)region->current_version, (guint)region->min_compatible_version,
        region->begin, region->end, region->end - region->begin, region->data_offset,
        table_to_variant(&region->guest_to_host), table_to_variant(&region->host_to_guest), manager,
        region->is_exclusive);
}

char *cvd_layout_to_json(const CvdLayout *layout)
{
    g_autoptr(GVariantBuilder) regions = g_variant_builder_new(G_VARIANT_TYPE("aa{sv}"));

    for (guint i = 0; i < layout->n_regions; i++)
        g_variant_builder_add_value(regions, region_to_variant(layout, i));
    g_autoptr(GVariant) all = g_variant_ref_sink(g_variant_new_parsed(
        "{'major_version': <%i>, 'minor_version': <%i>, 'window_size': <%u>, 'used_size': <%t>,"
        " 'granule': <%t>, 'vsoc_region_desc_offset': <%u>, 'region_count': <%u>,"
        " 'regions': <%@aa{sv}>}",
        VSOC_LAYOUT_MAJOR_VERSION, VSOC_LAYOUT_MINOR_VERSION, layout->window_size,
        used_size(layout), layout->granule, layout->region_desc_offset, layout->n_regions,
        g_variant_builder_end(regions)));
    g_autoptr(JsonNode) root = json_gvariant_serialize(all);
    g_autofree char *text = cvd_json_to_string(root, TRUE);

    return g_strconcat(text, "\n", NULL);
}

/*
 * Identifiers: upper case, other characters than letters and digits become `_`. Two names that come
 * out alike ("a-b", "a.b", "A_B") would clash, so each of them but the first in the file gets its
 * index; and the index is put on until the result is nobody's.
 */
static char *mangle(const char *name)
{
    char *identifier = g_ascii_strup(name, -1);

    for (char *p = identifier; *p != '\0'; p++)
        if (!g_ascii_isalnum(*p))
            *p = '_';
    return identifier;
}

/* Puts the index after @stem until the result is nobody's; takes @stem. */
static char *make_unique(char *stem, guint index, GHashTable *taken)
{
    while (g_hash_table_contains(taken, stem)) {
        char *longer = g_strdup_printf("%s_%u", stem, index);
        g_free(stem);
        stem = longer;
    }
    return stem;
}

static GPtrArray *make_identifiers(const CvdLayout *layout)
{
    GPtrArray *identifiers = g_ptr_array_new_with_free_func(g_free);
    /* Owns its strings. First come all plain ones, so that no name gets a worse one from another's
     * clash; the value tells whether somebody has it. */
    g_autoptr(GHashTable) taken = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);

    for (guint i = 0; i < layout->n_regions; i++)
        g_hash_table_insert(taken, mangle(layout->regions[i].name), GINT_TO_POINTER(FALSE));
    for (guint i = 0; i < layout->n_regions; i++) {
        char *identifier = mangle(layout->regions[i].name);
        if (GPOINTER_TO_INT(g_hash_table_lookup(taken, identifier)))
            identifier = make_unique(identifier, i, taken);
        g_hash_table_insert(taken, g_strdup(identifier), GINT_TO_POINTER(TRUE));
        g_ptr_array_add(identifiers, identifier);
    }
    return identifiers;
}

/* vsoc/abi.h, as text. */
static const char c_structures[] =
#include "launcher/abi-text.h"
    ;

/*
 * The property comes before the region (CVD_INDEX_…, CVD_BEGIN_…), so that no region's name can
 * make the macro of another.
 */
static void append_c_table(GString *text, const char *direction, const char *identifier,
                           const CvdSignalTable *table)
{
    g_string_append_printf(text,
                           "#define CVD_%s_NODES_LG2_%s %u\n"
                           "#define CVD_%s_TABLE_%s UINT32_C(0x%x)\n"
                           "#define CVD_%s_SIGNALLED_%s UINT32_C(0x%x)\n",
                           direction, identifier, table->num_nodes_lg2, direction, identifier,
                           table->table_offset, direction, identifier,
                           table->interrupt_signalled_offset);
}

static void append_c_region(GString *text, const CvdLayout *layout, guint i, const char *identifier)
{
    const CvdLayoutRegion *region = &layout->regions[i];

    g_string_append_printf(text,
                           "\n/* %s */\n"
                           "#define CVD_INDEX_%s %u\n"
                           "#define CVD_NAME_%s \"%s\"\n"
                           "#define CVD_VERSION_%s %u\n"
                           "#define CVD_MIN_VERSION_%s %u\n"
                           "#define CVD_BEGIN_%s UINT32_C(0x%x)\n"
                           "#define CVD_END_%s UINT32_C(0x%x)\n"
                           "#define CVD_SIZE_%s UINT32_C(0x%x)\n"
                           "#define CVD_DATA_%s UINT32_C(0x%x)\n",
                           region->name, identifier, i, identifier, region->name, identifier,
                           region->current_version, identifier, region->min_compatible_version,
                           identifier, region->begin, identifier, region->end, identifier,
                           region->end - region->begin, identifier, region->data_offset);
    append_c_table(text, "G2H", identifier, &region->guest_to_host);
    append_c_table(text, "H2G", identifier, &region->host_to_guest);
    g_string_append_printf(text, "#define CVD_MANAGED_BY_%s %u\n", identifier, region->managed_by);
}

char *cvd_layout_to_c_header(const CvdLayout *layout)
{
    GString *text = g_string_new(NULL);
    g_autoptr(GPtrArray) identifiers = make_identifiers(layout);

    g_string_append(text, "/* Made by cvd-launch --print-layout=c: the shared-memory window. */\n"
                          "#ifndef CVD_LAYOUT_H\n"
                          "#define CVD_LAYOUT_H\n\n");
    g_string_append(text, c_structures);
    g_string_append_printf(
        text,
        "\n"
        "#define CVD_WINDOW_SIZE UINT32_C(0x%x)\n"
        "#define CVD_REGION_DESC_OFFSET UINT32_C(0x%x)\n"
        "#define CVD_REGION_COUNT %u\n"
        "\n"
        "/*\n"
        " * Of each region: BEGIN and END in the window; DATA, TABLE and SIGNALLED in the\n"
        " * region. G2H: guest to host; H2G: host to guest. MANAGED_BY: an index; 0: none.\n"
        " */\n",
        layout->window_size, layout->region_desc_offset, layout->n_regions);
    for (guint i = 0; i < layout->n_regions; i++)
        append_c_region(text, layout, i, g_ptr_array_index(identifiers, i));
    g_string_append(text, "\n#endif\n");
    return g_string_free(text, FALSE);
}

char *cvd_layout_digest(const CvdLayout *layout)
{
    g_autoptr(GBytes) descriptors = cvd_layout_get_descriptors(layout);

    return g_compute_checksum_for_bytes(G_CHECKSUM_SHA256, descriptors);
}
