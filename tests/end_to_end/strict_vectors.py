"""Requests that two readers could read differently, and the status each must get. `@` is CRLF, U+E000 is @.

Every refused one carries a second request behind it; it must never reach an engine.
"""

REFUSED: dict[str, tuple[str, tuple[int, ...]]] = {}
SERVED: dict[str, str] = {}

_POST, _GET = "POST /one/x HTTP/1.1@Host: h@", "GET /one/x HTTP/1.1@Host: h@"


def _refused(statuses: int | tuple[int, ...], **vectors: str) -> None:
    wanted = (statuses,) if isinstance(statuses, int) else statuses
    REFUSED.update({name.replace("_", " "): (text, wanted) for name, text in vectors.items()})


def _served(**vectors: str) -> None:
    SERVED.update({name.replace("_", " "): text for name, text in vectors.items()})


# --- lengths and codings (RFC 9112 section 6) ----------------------------------------------------
_refused(
    400,
    length_and_chunked=_POST + "Content-Length: 4@Transfer-Encoding: chunked@@0@@",
    chunked_and_length=_POST + "Transfer-Encoding: chunked@Content-Length: 4@@0@@",
    two_lengths=_POST + "Content-Length: 4@Content-Length: 5@@abcde",
    two_equal_lengths=_POST + "Content-Length: 4@Content-Length: 4@@abcd",
    list_of_lengths=_POST + "Content-Length: 4, 4@@abcd",
    length_plus=_POST + "Content-Length: +4@@abcd",
    length_minus=_POST + "Content-Length: -4@@abcd",
    length_hex=_POST + "Content-Length: 0x4@@abcd",
    length_blank_inside=_POST + "Content-Length: 4 0@@abcd",
    length_tab_inside=_POST + "Content-Length: 4\t0@@abcd",
    length_underscore=_POST + "Content-Length: 1_0@@abcdabcdab",
    length_fraction=_POST + "Content-Length: 4.0@@abcd",
    length_exponent=_POST + "Content-Length: 4e0@@abcd",
    length_empty=_POST + "Content-Length: @@abcd",
    length_quoted=_POST + 'Content-Length: "4"@@abcd',
    length_comma=_POST + "Content-Length: 4,@@abcd",
    length_semicolon=_POST + "Content-Length: 4;a=b@@abcd",
    length_letters=_POST + "Content-Length: four@@abcd",
    length_arabic_digit=_POST + "Content-Length: \u00b2@@abcd",
    length_negative_zero=_POST + "Content-Length: -0@@",
    length_vertical_tab=_POST + "Content-Length: \x0b4@@abcd",
    length_form_feed=_POST + "Content-Length: 4\x0c@@abcd",
    chunked_twice=_POST + "Transfer-Encoding: chunked@Transfer-Encoding: chunked@@0@@",
    chunked_list=_POST + "Transfer-Encoding: chunked, chunked@@0@@",
    chunked_comma=_POST + "Transfer-Encoding: chunked,@@0@@",
    comma_chunked=_POST + "Transfer-Encoding: ,chunked@@0@@",
    chunked_parameter=_POST + "Transfer-Encoding: chunked;q=1@@0@@",
    chunked_quoted=_POST + 'Transfer-Encoding: "chunked"@@0@@',
    chunked_vertical_tab=_POST + "Transfer-Encoding: \x0bchunked@@0@@",
    chunked_form_feed=_POST + "Transfer-Encoding: chunked\x0c@@0@@",
    chunked_nbsp=_POST + "Transfer-Encoding: \xa0chunked@@0@@",
    chunked_folded=_POST + "Transfer-Encoding:@ chunked@@0@@",
    chunked_folded_after=_POST + "Transfer-Encoding: chunked@ , identity@@0@@",
    chunked_underscore_name_alone=_POST + "Transfer-Encoding : chunked@@0@@",
    chunked_tab_before_colon=_POST + "Transfer-Encoding\t: chunked@@0@@",
    chunked_old_http=_POST.replace("1.1", "1.0") + "Transfer-Encoding: chunked@@0@@",
    length_blank_before_colon=_POST + "Content-Length : 4@@abcd",
    length_tab_before_colon=_POST + "Content-Length\t: 4@@abcd",
    length_folded=_POST + "Content-Length:@ 4@@abcd",
    coding_empty=_POST + "Transfer-Encoding: @@0@@",
)
_refused(
    (400, 501),
    identity=_POST + "Transfer-Encoding: identity@@",
    identity_and_length=_POST + "Transfer-Encoding: identity@Content-Length: 4@@abcd",
    gzip=_POST + "Transfer-Encoding: gzip@@",
    gzip_chunked=_POST + "Transfer-Encoding: gzip, chunked@@0@@",
    chunked_gzip=_POST + "Transfer-Encoding: chunked, gzip@@0@@",
    chunked_identity=_POST + "Transfer-Encoding: chunked, identity@@0@@",
    xchunked=_POST + "Transfer-Encoding: xchunked@@0@@",
    chunkedx=_POST + "Transfer-Encoding: chunkedx@@0@@",
    cow=_POST + "Transfer-Encoding: cow@@0@@",
)
# --- chunks (section 7.1) ------------------------------------------------------------------------
_CHUNKED = _POST + "Transfer-Encoding: chunked@@"
_refused(
    400,
    chunk_plus=_CHUNKED + "+4@abcd@0@@",
    chunk_minus=_CHUNKED + "-4@abcd@0@@",
    chunk_prefix=_CHUNKED + "0x4@abcd@0@@",
    chunk_blank_first=_CHUNKED + " 4@abcd@0@@",
    chunk_blank_last=_CHUNKED + "4 @abcd@0@@",
    chunk_tab_last=_CHUNKED + "4\t@abcd@0@@",
    chunk_underscore=_CHUNKED + "0_4@abcd@0@@",
    chunk_empty_size=_CHUNKED + "@abcd@0@@",
    chunk_only_extension=_CHUNKED + ";a=b@abcd@0@@",
    chunk_letters=_CHUNKED + "four@abcd@0@@",
    chunk_comma=_CHUNKED + "4,4@abcd@0@@",
    chunk_overflow=_CHUNKED + "10000000000000004@abcd@0@@",
    chunk_overflow_32=_CHUNKED + "f" * 40 + "@abcd@0@@",
    chunk_too_long=_CHUNKED + "4@abcde@0@@",
    chunk_too_short=_CHUNKED + "5@abcd@0@@",
    chunk_bare_lf=_CHUNKED + "4\nabcd@0@@",
    chunk_bare_cr=_CHUNKED + "4\rabcd@0@@",
    chunk_end_bare_lf=_CHUNKED + "4@abcd\n0@@",
    chunk_end_bare_cr=_CHUNKED + "4@abcd\r0@@",
    chunk_end_missing=_CHUNKED + "4@abcd0@@",
    chunk_end_other=_CHUNKED + "4@abcdXX0@@",
    chunk_last_bare_lf=_CHUNKED + "4@abcd@0\n\n",
    extension_bare_cr=_CHUNKED + "4;a\rb@abcd@0@@",
    extension_bare_lf=_CHUNKED + "4;a\nb@abcd@0@@",
    extension_nul=_CHUNKED + "4;a\0b@abcd@0@@",
    extension_control=_CHUNKED + "4;a\x01b@abcd@0@@",
    extension_too_long=_CHUNKED + "4;" + "a" * 20_000 + "@abcd@0@@",
    size_line_too_long=_CHUNKED + "0" * 20_000 + "4@abcd@0@@",
    trailer_bare_lf=_CHUNKED + "0@X: y\n@",
    trailer_bare_cr=_CHUNKED + "0@X: y\rz@@",
    trailer_nul=_CHUNKED + "0@X: \0@@",
    trailer_control=_CHUNKED + "0@X: \x02y@@",
    trailer_no_colon=_CHUNKED + "0@nonsense@@",
    trailer_empty_name=_CHUNKED + "0@: y@@",
    trailer_blank_before_colon=_CHUNKED + "0@X : y@@",
    trailer_folded=_CHUNKED + "0@X: y@ z@@",
    trailer_no_token=_CHUNKED + "0@X(y): z@@",
    trailer_request=_CHUNKED + "0@GET /one/smuggled HTTP/1.1@@",
)
_refused((400, 431, 413), trailers_too_long=_CHUNKED + "0@" + "X: y@" * 20_000 + "@")
# --- fields (RFC 9112 section 5, RFC 9110 section 5) ---------------------------------------------
_refused(
    400,
    bare_lf_everywhere="GET /one/x HTTP/1.1\nHost: h\n\n",
    bare_lf_in_fields=_GET + "X: y\nZ: w@@",
    bare_lf_ends_head=_GET + "X: y\n@",
    lf_cr=_GET + "X: y\n\rZ: w@@",
    bare_cr_in_value=_GET + "X: y\rz@@",
    bare_cr_ends_line=_GET + "X: y\rZ: w@@",
    bare_cr_in_name=_GET + "X\rY: z@@",
    nul_in_value=_GET + "X: y\0z@@",
    nul_in_name=_GET + "X\0Y: z@@",
    bell_in_value=_GET + "X: y\x07z@@",
    delete_in_value=_GET + "X: y\x7fz@@",
    escape_in_value=_GET + "X: \x1b[31m@@",
    vertical_tab_in_value=_GET + "X: y\x0bz@@",
    folded=_GET + "X: y@ z@@",
    folded_tab=_GET + "X: y@\tz@@",
    folded_first="GET /one/x HTTP/1.1@ Host: h@@",
    blank_line_first_field="GET /one/x HTTP/1.1@ @Host: h@@",
    blank_before_colon=_GET + "X : y@@",
    tab_before_colon=_GET + "X\t: y@@",
    blank_in_name=_GET + "X Y: z@@",
    empty_name=_GET + ": y@@",
    no_colon=_GET + "nonsense@@",
    name_with_parenthesis=_GET + "X(Y): z@@",
    name_with_slash=_GET + "X/Y: z@@",
    name_with_at=_GET + "X\ue000Y: z@@",
    name_with_quote=_GET + 'X"Y: z@@',
    name_with_comma=_GET + "X,Y: z@@",
    name_with_semicolon=_GET + "X;Y: z@@",
    name_with_equals=_GET + "X=Y: z@@",
    name_with_brace=_GET + "X{Y}: z@@",
    name_with_bracket=_GET + "X[Y]: z@@",
    name_with_backslash=_GET + "X\\Y: z@@",
    name_with_question_mark=_GET + "X?Y: z@@",
    name_with_high_byte=_GET + "X\xe9: z@@",
    name_with_nbsp=_GET + "X\xa0: z@@",
    no_host="GET /one/x HTTP/1.1@@",
    two_hosts=_GET + "Host: other@@",
    two_equal_hosts=_GET + "Host: h@@",
    host_list="GET /one/x HTTP/1.1@Host: h, other@@",
    host_with_blank="GET /one/x HTTP/1.1@Host: h other@@",
    host_with_path="GET /one/x HTTP/1.1@Host: h/path@@",
    host_with_user="GET /one/x HTTP/1.1@Host: user\ue000h@@",
    host_port_letters="GET /one/x HTTP/1.1@Host: h:abc@@",
    host_blank_before_colon="GET /one/x HTTP/1.1@Host : h@@",
)
# --- the request line (section 3) ----------------------------------------------------------------
_H = "@Host: h@@"
_refused(
    400,
    two_blanks="GET  /one/x HTTP/1.1" + _H,
    two_blanks_before_version="GET /one/x  HTTP/1.1" + _H,
    tab_for_blank="GET\t/one/x\tHTTP/1.1" + _H,
    blank_first=" GET /one/x HTTP/1.1" + _H,
    blank_last="GET /one/x HTTP/1.1 " + _H,
    blank_in_target="GET /one/x y HTTP/1.1" + _H,
    no_target="GET HTTP/1.1" + _H,
    lower_version="GET /one/x http/1.1" + _H,
    version_letters="GET /one/x HTTP/a.b" + _H,
    version_no_dot="GET /one/x HTTP/11" + _H,
    version_long="GET /one/x HTTP/1.10" + _H,
    version_zero_first="GET /one/x HTTP/01.1" + _H,
    version_blank="GET /one/x HTTP/ 1.1" + _H,
    other_protocol="GET /one/x FTP/1.1" + _H,
    ice="GET /one/x ICE/1.0" + _H,
    target_high_byte="GET /one/\xe9 HTTP/1.1" + _H,
    target_nul="GET /one/\0 HTTP/1.1" + _H,
    target_control="GET /one/\x01 HTTP/1.1" + _H,
    target_delete="GET /one/\x7f HTTP/1.1" + _H,
    target_tab="GET /one/\tx HTTP/1.1" + _H,
    target_relative="GET one/x HTTP/1.1" + _H,
    target_dot_dot_relative="GET ../one/x HTTP/1.1" + _H,
    target_asterisk="GET * HTTP/1.1" + _H,
    target_fragment="GET /one/x#y HTTP/1.1" + _H,
    target_other_scheme="GET ftp://h/one/x HTTP/1.1" + _H,
    method_empty=" /one/x HTTP/1.1" + _H,
    method_nul="G\0T /one/x HTTP/1.1" + _H,
    method_brackets="G[T /one/x HTTP/1.1" + _H,
    tls_hello="\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03@@",
    nothing_but_nul="\0\0\0\0@@",
)
_refused(
    400,
    absolute_without_host_name="GET http:///one/x HTTP/1.1" + _H,
    absolute_only_a_port="GET http://:80/one/x HTTP/1.1" + _H,
    absolute_with_user="GET http://user\ue000h/one/x HTTP/1.1" + _H,
    absolute_port_too_large="GET http://h:99999/one/x HTTP/1.1" + _H,
    absolute_beside_a_bad_host="GET http://h/one/x HTTP/1.1@Host: a b@@",
    absolute_without_host="GET http://h/one/x HTTP/1.1@@",
    host_port_too_large="GET /one/x HTTP/1.1@Host: h:65536@@",
    host_bad_escape="GET /one/x HTTP/1.1@Host: h%zz@@",
    host_half_escape="GET /one/x HTTP/1.1@Host: h%2@@",
)
_refused(
    501, method_of_no_standard="FROB /one/x HTTP/1.1" + _H, method_in_small_letters="get /one/x HTTP/1.1" + _H
)
_refused((400, 501), method_lower="get /one/x HTTP/1.1" + _H, method_unknown="FROB /one/x HTTP/1.1" + _H)
_refused((400, 405, 501), connect="CONNECT h:80 HTTP/1.1" + _H, trace="TRACE /one/x HTTP/1.1" + _H)
_refused(
    (400, 505),
    no_version="GET /one/x" + _H,
    http2_preface="PRI * HTTP/2.0@@SM@@",
    version_two="GET /one/x HTTP/2.0" + _H,
    version_three="GET /one/x HTTP/3.0" + _H,
    version_zero_nine="GET /one/x HTTP/0.9" + _H,
    version_one_two="GET /one/x HTTP/1.2" + _H,
)
_refused(414, target_too_long="GET /one/" + "x" * 70_000 + " HTTP/1.1" + _H)
_refused(
    431,
    field_too_long=_GET + "X: " + "y" * 70_000 + "@@",
    fields_too_many=_GET + "X: y@" * 1_000 + "@",
    fields_too_long=_GET + ("X: " + "y" * 500 + "@") * 120 + "@",
    name_too_long=_GET + "X" * 70_000 + ": y@@",
)
_refused(413, body_too_long=_POST + "Content-Length: 200001@@")
_refused(
    413,
    chunk_says_too_much=_CHUNKED + "100000000@{}",
    chunk_says_too_much_in_the_end=_CHUNKED + "2@{}@ffffffffffffff@",
)
_refused((400, 413), body_much_too_long=_POST + "Content-Length: " + "9" * 30 + "@@")

# --- what must be served -------------------------------------------------------------------------
_served(
    plain=_GET + "@",
    empty_line_first="@" + _GET + "@",
    no_blank_after_colon="GET /one/x HTTP/1.1@Host:h@@",
    blanks_round_a_value=_GET + "X: \t y \t @@",
    empty_value=_GET + "X:@@",
    obs_text_in_value=_GET + "X: caf\xe9@@",
    tab_in_value=_GET + "X: a\tb@@",
    every_token_character=_GET + "!#$%&'*+-.^_`|~09azAZ: y@@",
    colon_in_value=_GET + "X: a:b:c@@",
    names_in_any_case="GET /one/x HTTP/1.1@hOsT: h@@",
    host_with_port="GET /one/x HTTP/1.1@Host: h:8080@@",
    host_ipv6="GET /one/x HTTP/1.1@Host: [::1]:8080@@",
    empty_host="GET /one/x HTTP/1.1@Host: @@",
    absolute_target="GET http://h/one/x HTTP/1.1@Host: h@@",
    absolute_target_in_capitals="GET HTTP://h/one/x HTTP/1.1@Host: h@@",
    host_escape="GET /one/x HTTP/1.1@Host: h%2d1@@",
    query="GET /one/x?a=b&c=%20d HTTP/1.1@Host: h@@",
    percent_encoded="GET /one/%e9%2f HTTP/1.1@Host: h@@",
    length_zero=_POST + "Content-Length: 0@@",
    length_leading_zeros=_POST + "Content-Length: 0004@@{  }",
    length_blanks_round_it=_POST + "Content-Length: \t 2 @@{}",
    chunked_blank_behind=_POST + "Transfer-Encoding:\tchunked @@2@{}@0@@",
    post_without_body=_POST + "@",
    length=_POST + "Content-Length: 2@@{}",
    chunked=_CHUNKED + "2@{}@0@@",
    chunked_in_any_case=_POST + "Transfer-Encoding: cHuNkEd@@2@{}@0@@",
    chunk_leading_zeros=_CHUNKED + "0002@{}@0@@",
    chunk_capitals=_CHUNKED + "A@{        }@0@@",
    chunk_extension=_CHUNKED + "2;a=b@{}@0;c@@",
    chunk_quoted_extension=_CHUNKED + '2;a="b c"@{}@0@@',
    trailer=_CHUNKED + "2@{}@0@X-Trailer: 1@@",
    last_chunk_many_zeros=_CHUNKED + "2@{}@000@@",
    put="PUT /one/x HTTP/1.1@Host: h@Content-Length: 2@@{}",
    delete="DELETE /one/x HTTP/1.1@Host: h@@",
    patch="PATCH /one/x HTTP/1.1@Host: h@Content-Length: 2@@{}",
    options="OPTIONS /one/x HTTP/1.1@Host: h@@",
    get_with_body=_GET + "Content-Length: 2@@{}",
    upgrade_offered=_GET + "Connection: Upgrade@Upgrade: websocket@@",
    h2c_offered=_GET + "Connection: Upgrade, HTTP2-Settings@Upgrade: h2c@HTTP2-Settings: AAMAAABkAAQ@@",
    expects_continue=_POST + "Expect: 100-continue@Content-Length: 2@@{}",
    hundred_fields=_GET + "X: y@" * 100 + "@",
)

# --- what can no longer become a request, and is told so before it has an end -------------------
HOPELESS: dict[str, str] = {
    "bare CR for every line end": "GET /one/x HTTP/1.1\rHost: h\r\r",
    "control byte": _GET + "X: \x01",
    "CR LF CR and no LF": _GET + "\rX",
    "request line of HTTP/0.9": "GET /one/x@",
    "request line of four words": "GET /one/x y HTTP/1.1@Host: h@",
    "version of another protocol": "GET /one/x HTTP/3.0@Host: h@",
    "greeting of SSH": "SSH-2.0-OpenSSH_9.0@",
    "greeting of SMTP": "EHLO h@",
    "Redis": "*1@$4@PING@",
    "TLS": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
}
