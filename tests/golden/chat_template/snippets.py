"""Small templates, one per habit of the language; make_goldens.py records what jinja2 makes of them."""

VARIABLES = {
    "messages": [
        {"role": "user", "content": "¤Hé llo¤"},
        {"role": "assistant", "content": "¤b¤", "n": 2},
        {"role": "user", "content": "¤a¤", "n": 1},
    ],
    "tools": None,
    "d": {"b": 1, "a": [1, 2.5, None, True, "x'y"], "items": 3, "é": {"k": "v"}},
    "s": "  Some text, here\n\nlast  ",
    "w": "abcäöü😀def",
    "l": [3, 1, 2, 3],
    "words": ["b", "A", "c", "a"],
    "f": 3.14159,
    "z": 0,
    "i": -7,
}

EXPRESSIONS = r"""
1 + 2 * 3 - 4 // 3 | -7 // 2 | -7 % 3 | 7 % -3 | 7 / 2 | 2 ** 3 ** 2 | -2 ** 2 | 2 ** -1 | 1.5 // 0.4 | -1.5 % 1 | 1 / 0 | 1 % 0
1 ~ 2 ~ 'a' | 'a' + 'b' * 3 | 'a' + 1 | [1] + [2] | (1,) + (2,) | [0] * 3 | 'ab' 'cd' | not 1 | not [] | 1 and 2 | 0 or 'x' | none or 3
1 < 2 < 3 | 1 < 2 > 3 | 1 == 1.0 | 'a' < 'b' | [1, 2] < [1, 3] | 1 < 'a' | true == 1 | none == none | 'a' in 'abc' | 1 in l | 'b' in d | 4 not in l | 1 in 1
1 if 0 else 2 | 1 if 0 | (1 if 1) | 'x' if undefinedthing else 'y' | undefinedthing | undefinedthing.a | undefinedthing['a'] | undefinedthing() | d.nope | d.nope.more
[1, 'a', none, true, 1.0, {'k': 'v'}] | (1,) | (1, 2) | () | {} | {'a': 1, 2: 'b'} | "it's" | ["it's", 'say "hi"', 'both \' and "'] | ['\n\t\\ é \x01'] | 1e20 | 1e15 | 1e16 | 0.0001 | 0.00001 | 1.0 | 100.5 | -0.0 | 1e-7 | 123456789.123 | 1_000
s | s.strip() | s.lstrip() | s.rstrip() | s.split() | s.split(' ') | s.split('\n') | s.split(',', 1) | s.rsplit(' ', 1) | s.splitlines() | s.upper() | s.title() | s.strip().capitalize() | s.find('text') | s.count('e') | s.replace('e', 'E') | s.replace('e', 'E', 1)
'a-b-c'.split('-', 1) | 'a-b-c'.rsplit('-', 1) | 'a-b-c'.split('-')[-1] | 'xxaxx'.strip('x') | 'xyaxy'.lstrip('xy') | 'abc'.startswith('ab') | 'abc'.endswith(('x', 'c')) | 'abc'.removeprefix('a') | 'abc'.removesuffix('c') | '12'.isdigit() | ''.isdigit() | 'ab1'.isalpha() | ' \n'.isspace() | 'ab'.islower() | 'AB1'.isupper() | 'abc'.index('z') | 'abc'.index('b') | 'a=b=c'.partition('=') | 'a=b=c'.rpartition('=') | '7'.zfill(3) | 'a'.ljust(3) ~ '|' | 'a'.rjust(3)
''.split(',') | ''.split() | 'a'.split('') | 'aaa'.replace('', '-') | 'aaa'.replace('aa', 'b') | ' a  b '.split(none, 1) | ' a  b  c '.rsplit(none, 1) | '-'.join(['a', 'b']) | '-'.join([1]) | '-'.join('abc')
w[0] | w[-1] | w[3] | w[2:5] | w[::-1] | w[::2] | w[-3:] | w[:-3] | w[5:2] | w[10:] | w[5:2:-1] | w[100] | w | length | w.upper() | w[::0] | l[1:] | l[::-1] | l[-2:] | l[9] | l['a'] | (1, 2, 3)[1:] | l[:2:1]
'%s and %d' % ('x', 3) | '%5.2f|' % f | '%-5s|' % 'a' | '%05d' % 42 | '%x' % 255 | '%s' % [1] | '%(b)s' % d | '%s %s' % ('a',) | '%d' % 'a' | '%r' % 'a' | '%%' % () | '%s' % none | '%c' % 1 if 0 else 1
'{} {}'.format(1, 'a') | '{1}{0}'.format('a', 'b') | '{x}'.format(x=3) | '{:>5}|'.format('a') | '{:<5}|'.format('a') | '{:^5}|'.format('a') | '{:05d}'.format(42) | '{:.2f}'.format(f) | '{:,}'.format(1234567) | '{{}}'.format() | '{}'.format() | '{0[b]}'.format(d) | '{!r}'.format('a') | '{:5}|'.format(3) | '{'.format() | '{:*>4}'.format(7)
d.items() | d.keys() | d.values() | list(d) | d.get('b') | d.get('nope') | d.get('nope', 5) | d['items'] | d.b | d.é.k | d['é']['k'] | d.keys()[0] | d.pop('b') | d.update({}) | l.append(3) | l.pop() | l.index(2) | l.count(3) | l.index(9) | (1, 2).index(2)
l | length | 'abc' | length | none | length | 5 | length | l | first | l | last | [] | first | l | join | l | join(', ') | words | join('-') | messages | join(', ', attribute='role') | l | sort | words | sort | words | sort(case_sensitive=true) | words | sort(reverse=true) | messages | sort(attribute='content') | map(attribute='role') | list
l | unique | list | words | unique | list | l | sum | messages | sum('n') | l | min | l | max | words | max | [] | max | l | reverse | list | 'abc' | reverse | d | dictsort(false, 'key') | {'b': 2, 'A': 1} | dictsort | {'b': 1, 'a': 2} | dictsort(by='value') | {'a': 1} | items | list | l | list | 'abc' | list | 5 | list
l | map('string') | list | words | map('upper') | join | messages | map(attribute='content') | join | messages | map(attribute='n', default=0) | list | l | select('odd') | list | l | reject('odd') | list | l | select('gt', 2) | list | messages | selectattr('role', 'equalto', 'user') | list | length | messages | rejectattr('role', '==', 'user') | map(attribute='content') | first | messages | selectattr('n') | list | length | messages | selectattr('n', 'defined') | list | length | l | map | list | l | select('nonesuch') | list
'hello world' | capitalize | 'hello-world (x)' | title | 'abc' | upper | 3 | upper | ' a ' | trim | 'xax' | trim('x') | 'a' | replace('a', 'b') | 'a<b>&"\'' | e | 'x' | safe | 3 | string | none | string | [1] | string | 'a\nb\n\nc' | indent | 'a\nb' | indent(2, true) | 'a\n\nb' | indent(2, blank=true) | 'a\nb' | indent('> ') | 'one two three' | wordcount | 'foo bar baz qux' | truncate(9) | 'foo bar baz qux' | truncate(9, true) | 'foo bar baz qux' | truncate(11) | 'a b/c?d' | urlencode | '%s-%s' | format('a', 'b') | '%(x)s' | format(x=1)
'12' | int | '12.7' | int | 'x' | int | 'x' | int(5) | 3.9 | int | none | int | ' 4 ' | int | '0x1A' | int(0, 16) | '1.5' | float | 'x' | float | 3 | float | -3 | abs | -3.5 | abs | 'a' | abs | 2.5 | round | 3.14159 | round(2) | 2.1 | round(0, 'ceil') | 2.9 | round(0, 'floor') | 3 | round | 42.55 | round(1) | undefinedthing | int
undefinedthing | default('x') | none | default('x') | none | default('x', true) | '' | d('y', true) | 0 | default(1) | undefinedthing | default | undefinedthing | length | undefinedthing | upper | undefinedthing | join | undefinedthing | list | undefinedthing | tojson | undefinedthing + 'a' | undefinedthing ~ 'a' | undefinedthing == nothing | undefinedthing is none | undefinedthing[1:]
d | tojson | d | tojson(indent=2) | d | tojson(ensure_ascii=true) | w | tojson(ensure_ascii=true) | {'b': 1, 'a': 2} | tojson(sort_keys=true) | [1, [], {}, ()] | tojson(indent=4) | [1, {'a': 2}] | tojson(separators=(',', ':')) | '<a href="x">' | tojson | '\n\t\x01\x7f\u2028' | tojson | {1: 2, none: 3, true: 4} | tojson | 1e20 | tojson | 1.0 | tojson | range(3) | tojson | [1] | tojson(indent='--') | none | tojson | l | batch(2) | list | l | batch(3, 'x') | list | l | slice(3) | list | l | slice(3, 'x') | list | d | attr('b') | 'a' | attr('upper') | d | nonesuch
l is iterable | l is sequence | d is mapping | d is sequence | 'a' is string | 'a' is iterable | 1 is number | 1 is integer | 1.0 is float | true is number | true is integer | true is boolean | none is none | l is not none | x is defined | d is defined | d.q is undefined | 4 is even | 4 is odd | 9 is divisibleby 3 | 9 is divisibleby(2) | 1 is eq 1 | 1 is ne 1 | 1 is lt 2 | 2 is ge 2 | 1 is in l | 'a' is in 'abc' | 'ab' is lower | 'AB' is upper | range is callable | none is sameas none | 1 is sameas true | true is true | 1 is true | false is false | 0 is false | 'upper' is filter | 'x' is filter | 'odd' is test | d.items() is sequence | d.items() is iterable | 5 is iterable | 1 is nonesuch | not 1 is odd | 'a' is string and 1 is odd
range(3) | list | range(1, 4) | list | range(5, 0, -2) | list | range(0) | list | range(3) | length | range(3)[1] | range(3) | join | dict(a=1) | dict([('a', 1)]) | dict({'a': 1}, b=2) | namespace(a=1).a | namespace().b | strftime_now('%d %b %Y %H:%M:%S %A %B %y %j %p %I %%') | strftime_now('%Y-%m-%d') | strftime_now('%-d/%-m') | raise_exception('no') | true | True | none | None | false | a.b.c | messages[0].content | messages[0]['role'] | messages[-1].n | messages[5] | messages[5].role | messages.0.role | messages[1:] | length
"""

TEMPLATES = [
    "a\n{% if true %}\n  b\n{% endif %}\nc\n", "  {% if true %}  x  {% endif %}  \n y", "a {%- if true -%} b {%- endif -%} c",
    "a {%+ if true %} b {% endif +%}\n c", "{{- 'a' -}}\n b", "x\n   {{ 'a' }}\n   {# c #}\n y", "x {#- c -#} y", "a\n\n", "a\r\nb\rc\n",
    "{% raw %}{{ x }} {% if %}{% endraw %}", "x {%- raw -%} {{ y }} {%- endraw -%} z", "{% raw %}\n a\n  {% endraw %}\nb", "{{ '{{' }} {{ '%}' }}", "{{ {'a': {'b': 1}} }}", "{{ {'a': {'b': 1}}.a.b }}",
    "{% for x in l %}{{ x }},{% endfor %}", "{% for x in [] %}a{% else %}none{% endfor %}", "{% for x in l if x > 1 %}{{ loop.index }}/{{ loop.length }}:{{ x }} {% endfor %}",
    "{% for x in l %}{{ loop.index0 }}{{ loop.first }}{{ loop.last }}{{ loop.revindex }}{{ loop.revindex0 }} {% endfor %}",
    "{% for x in l %}{{ loop.previtem }}<{{ x }}>{{ loop.nextitem }};{% endfor %}", "{% for x in l %}{{ loop.previtem is defined }}{% endfor %}", "{% for x in l %}{{ loop.cycle('a', 'b') }}{% endfor %}",
    "{% for x in l %}{{ loop.changed(x > 1) }} {% endfor %}", "{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}", "{% for k in d %}{{ k }}{% endfor %}", "{% for k, v in d | dictsort %}{{ k }}{% endfor %}",
    "{% for a, b in [[1, 2], (3, 4)] %}{{ a }}{{ b }} {% endfor %}", "{% for a, (b, c) in [[1, [2, 3]]] %}{{ a }}{{ b }}{{ c }}{% endfor %}", "{% for a, b in [[1]] %}{% endfor %}",
    "{% for x in l %}{% if x == 1 %}{% continue %}{% endif %}{{ x }}{% endfor %}", "{% for x in l %}{% if x == 2 %}{% break %}{% endif %}{{ x }}{% endfor %}",
    "{% for x in l %}{% for y in 'ab' %}{{ loop.index }}{{ y }}{% if y == 'a' %}{% break %}{% endif %}{% endfor %}{{ loop.index }}{{ x }};{% endfor %}",
    "{% set x = 1 %}{% for i in l %}{% set x = i %}{{ x }}{% endfor %}{{ x }}", "{% set x = 1 %}{% if true %}{% set x = 2 %}{% endif %}{{ x }}", "{% set ns = namespace(x=0) %}{% for i in l %}{% set ns.x = ns.x + i %}{% endfor %}{{ ns.x }}",
    "{% set a, b = 1, 2 %}{{ a }}{{ b }}", "{% set a = b = 1 %}", "{% set x %}  a{{ 1 }}\n{% endset %}[{{ x }}]", "{% set x | upper | trim %} abc {% endset %}[{{ x }}]", "{% set d.b = 1 %}", "{% set ns = namespace() %}{% set ns._x = 1 %}",
    "{% macro m(a, b='B', c=a) %}{{ a }}-{{ b }}-{{ c }}{% endmacro %}{{ m(1) }} {{ m(1, 2) }} {{ m(1, c=3) }} {{ m(b=1, a=2) }} {{ m() }}", "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, 2) }}", "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(b=2) }}",
    "{% macro f(n) %}{{ n }}{% if n > 0 %}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(3) }}", "{% set x = 1 %}{% macro m() %}{{ x }}{% endmacro %}{% set x = 2 %}{{ m() }}", "{% macro m() %}{{ y }}{% endmacro %}{% set y = 2 %}{{ m() }}",
    "{% macro m() %}{% set x = 5 %}{% endmacro %}{{ m() }}{{ x }}", "{% macro m() %}<{{ caller() }}>{% endmacro %}{% call m() %}in{% endcall %}", "{% macro m() %}{{ caller(1, 2) }}{% endmacro %}{% call(a, b) m() %}{{ a }}{{ b }}{% endcall %}",
    "{% macro m(x) %}a{% endmacro %}{{ m.name }}{{ m(1) | upper }}", "{% for x in l %}{% macro m() %}{{ x }}{% endmacro %}{{ m() }}{% endfor %}", "{% filter upper %}abc{{ w }}{% endfilter %}", "{% filter replace('a', 'b') | upper %}abc{% endfilter %}",
    "{% with a = 1, b = 2 %}{{ a + b }}{% endwith %}{{ a }}", "{% generation %}x{{ w }}{% endgeneration %}", "{% for m in messages %}{% generation %}{% set q = 1 %}{{ m.role }}{% endgeneration %}{{ q }}{% endfor %}",
    "{% if 0 %}a{% elif 1 %}b{% else %}c{% endif %}", "{% if x is not defined %}u{% endif %}{% if d and l %}v{% endif %}", "{% if not x %}n{% endif %}", "{% if messages[0]['role'] == 'system' %}s{% else %}u{% endif %}",
    "{% set g = l | map('string') %}{{ g | list }}{{ g | list }}", "{% set g = l | select %}{{ g | length }}", "{% set g = l | reverse %}{% for x in g %}{{ x }}{% endfor %}{% for x in g %}{{ x }}{% endfor %}",
    "{% for x in 5 %}{% endfor %}", "{% for x in none %}{% endfor %}", "{% for x in undefinedthing %}a{% else %}e{% endfor %}", "{% for c in w %}{{ c }}.{% endfor %}", "{{ 1, 2 }}", "{{ [1, 2,] }}{{ {'a': 1,} }}", "{{ 'a\\\nb' }}", "{{ '\\u00e9\\x41\\101\\q' }}",
    "{%set x=1%}{{x}}", "{{ x if x is defined else 'no' }}", "{% set loop_messages = messages[1:] if messages[0].role == 'system' else messages %}{{ loop_messages | length }}", "{% for m in messages[::-1] %}{{ m.role }}{{ loop.index0 }}{% endfor %}",
    "{{ '%s' | format(1) }}{{ 'a' if 1 else 'b' ~ 'c' }}", "{{ -1 | abs }}{{ -f | round(1) }}", "{{ (l | length) - 1 }}{{ l | length - 1 }}", "{{ not l | length == 3 }}", "{{ 'a' ~ 1 + 2 }}", "{{ 2 * 'ab' ~ 'c' }}", "{{ messages | map(attribute='content') | map('trim') | join(' ') | upper }}",
    "{{ d.items() | list | length }}", "{{ (d.items() | list)[0][1] }}", "{{ words | sort | first | upper ~ 'x' }}", "{{ [1, 2] == [1, 2] }}{{ {'a': 1} == {'a': 1} }}{{ (1,) == [1] }}", "{% set x = {'a': 1} %}{{ x.a }}{{ x['a'] }}{{ x.get('a') }}",
    "{{ a }", "{{ 1 +", "{% if %}", "{% nonesuch %}", "{% endif %}", "{{ 'a' is }}", "{{ f(}}", "{% for %}", "{# open", "{% if true %}",
]


def split(text):
    """Expressions stand one after the other with ' | ' between; a filter's own bar is kept by `keeps`."""
    out = []
    for line in text.strip().splitlines():
        out += pieces(line)
    return out


FILTERS = set(
    """abs attr batch capitalize d default dictsort e first float format indent int items join last length list map
    max min reject rejectattr replace reverse round safe select selectattr slice sort string sum title tojson trim
    truncate unique upper urlencode wordcount nonesuch""".split()
)


def pieces(line):
    parts, out = line.split(" | "), []
    for part in parts:
        name = part.split("(")[0].strip()
        if out and name in FILTERS and (part == name or part.startswith(name + "(")):
            out[-1] += " | " + part
        else:
            out.append(part)
    return out


SNIPPETS = ["{{ " + expression + " }}" for expression in split(EXPRESSIONS)] + TEMPLATES
