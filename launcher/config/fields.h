/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <json-glib/json-glib.h>

G_BEGIN_DECLS

/**
 * CvdReader:
 * @problems: (element-type utf8): where problems go, each a line
 * @overrides: (element-type JsonNode utf8): nodes that stand in the tree because of an option, and
 *   that option: `--set qemu.memory=4G`
 * @cwd: what relative paths in overridden values are relative to
 * @broken: (element-type utf8) (nullable): where the paths of all values that had a problem are
 *   added, and of members that were probably misspelt
 *
 * What all files of one configuration share while they are read.
 */
typedef struct {
    GPtrArray *problems;
    GHashTable *overrides;
    const char *cwd;
    GHashTable *broken;
} CvdReader;

/**
 * CvdPlace:
 * @origin: the file, or the option, that the value comes from
 * @directory: absolute; relative paths at this place are relative to it
 * @path: the JSON path there; empty for the root
 *
 * Where a value stands. Borrows everything.
 */
typedef struct {
    CvdReader *reader;
    const char *origin;
    const char *directory;
    const char *path;
} CvdPlace;

/** cvd_place_describe: Returns: (transfer full): `ORIGIN: PATH`, or the origin of a root */
char *cvd_place_describe(const CvdPlace *place);

/** cvd_place_problem: Appends `ORIGIN: PATH: text` to the problems. */
void cvd_place_problem(const CvdPlace *place, const char *format, ...) G_GNUC_PRINTF(2, 3);

/**
 * cvd_place_found:
 * @node: what was found
 * @expected: what is allowed there
 *
 * Appends `ORIGIN: PATH: found …; expected …` to the problems.
 */
void cvd_place_found(const CvdPlace *place, JsonNode *node, const char *expected);

/**
 * cvd_place_member:
 * @key: of an object at @place
 * @node: (nullable): its value
 * @path: (out): storage of the member's path; the caller frees it
 *
 * Returns: the member's place; an overridden one has the option as its origin
 */
CvdPlace cvd_place_member(const CvdPlace *place, const char *key, JsonNode *node, char **path);
/** cvd_place_element: The same for element @index of a list. */
CvdPlace cvd_place_element(const CvdPlace *place, guint index, JsonNode *node, char **path);

/**
 * cvd_place_find:
 * @node: what stands at @place
 * @path: from there, such as `regions[2].size`; nothing needs to stand at it
 * @storage: (out): of the whole path; the caller frees it
 *
 * Returns: the place at @path, with the same origin as if it had been read
 */
CvdPlace cvd_place_find(const CvdPlace *place, JsonNode *node, const char *path, char **storage);

/** cvd_place_resolve: Returns: (transfer full): @path, made absolute as paths at @place are */
char *cvd_place_resolve(const CvdPlace *place, const char *path);

typedef struct CvdField CvdField;

/** cvd_place_found_number: Says with cvd_place_found() that @field wants an integer, and which. */
void cvd_place_found_number(const CvdPlace *place, JsonNode *node, const CvdField *field);

/**
 * CvdFieldRead:
 * @target: the structure that the table describes
 *
 * Checks @node and stores it in @target, or tells a problem and leaves @target as it is.
 */
typedef void (*CvdFieldRead)(const CvdPlace *place, JsonNode *node, const CvdField *field,
                             gpointer target);

/**
 * CvdField:
 * @key: the member's name
 * @read: how it is read
 * @offset: of the value in the target
 * @min: for integers and sizes: the least value allowed
 * @max: the greatest; for strings: how many bytes, 0 = any
 * @words: (array zero-terminated=1): for cvd_read_word(): the word for the values 0, 1, …
 * @fields: (array zero-terminated=1): for cvd_read_object(): the members, of the same target
 *
 * One member that an object may have. A table of them ends with an empty entry; the target holds
 * the defaults before it is read.
 */
struct CvdField {
    const char *key;
    CvdFieldRead read;
    gsize offset;
    guint64 min;
    guint64 max;
    const char *const *words;
    const CvdField *fields;
};

/**
 * cvd_fields_read:
 * @node: should be an object
 * @fields: what it may hold
 * @target: where the values go
 *
 * Reads every member; wrong values and unknown keys become problems, all of them.
 */
void cvd_fields_read(const CvdPlace *place, JsonNode *node, const CvdField *fields,
                     gpointer target);

/* Readers for a table. Strings and string vectors in the target are freed when replaced. */
void cvd_read_string(const CvdPlace *, JsonNode *, const CvdField *, gpointer target);
/** cvd_read_any_string: also an empty one */
void cvd_read_any_string(const CvdPlace *, JsonNode *, const CvdField *, gpointer target);
/** cvd_read_name_or_path: with a slash in it it is a path; a bare name is looked up elsewhere */
void cvd_read_name_or_path(const CvdPlace *, JsonNode *, const CvdField *, gpointer target);
void cvd_read_path(const CvdPlace *, JsonNode *, const CvdField *, gpointer target);
void cvd_read_boolean(const CvdPlace *, JsonNode *, const CvdField *, gpointer target);
/** cvd_read_uint: into a guint */
void cvd_read_uint(const CvdPlace *, JsonNode *, const CvdField *, gpointer target);
/** cvd_read_size: into a guint64: bytes, or a string with K, M or G */
void cvd_read_size(const CvdPlace *, JsonNode *, const CvdField *, gpointer target);
/** cvd_read_word: into an enum */
void cvd_read_word(const CvdPlace *, JsonNode *, const CvdField *, gpointer target);
/** cvd_read_strings: a list of strings, which may be empty, into a char ** */
void cvd_read_strings(const CvdPlace *, JsonNode *, const CvdField *, gpointer target);
void cvd_read_object(const CvdPlace *, JsonNode *, const CvdField *, gpointer target);
/** cvd_read_nothing: takes the key for known; somebody else reads it, or nobody */
void cvd_read_nothing(const CvdPlace *, JsonNode *, const CvdField *, gpointer target);

/** cvd_node_get_string: Returns: (nullable): the string that @node holds, if it holds one */
const char *cvd_node_get_string(JsonNode *node);

/** cvd_store_string: Replaces the string at @offset of @target; takes @value. */
void cvd_store_string(gpointer target, gsize offset, char *value);

/**
 * cvd_parse_size:
 * @text: digits, with or without one of K, M and G (powers of 1024, in either case) after them
 * @bytes: (out): the size
 *
 * Returns: whether it is one, of less than 64 bits
 */
gboolean cvd_parse_size(const char *text, guint64 *bytes);

/**
 * cvd_format_size:
 *
 * Returns: (transfer full): a size as the files have it, with the largest of K, M and G that leaves
 *   an integer
 */
char *cvd_format_size(guint64 bytes);

G_END_DECLS
