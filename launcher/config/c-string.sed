# SPDX-License-Identifier: Apache-2.0
# Makes a string of C of each line.
s/[\\"]/\\&/g
s/.*/"&\\n"/
