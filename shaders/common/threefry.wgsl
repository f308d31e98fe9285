// Random numbers by counting: the same for the same key and counter, on every device and in
// every geometry.
//
// Source  Threefry-2x32 of 20 rounds: Salmon et al. 2011, doi:10.1145/2063384.2063405

fn threefry_mix(x: vec2<u32>, by: u32) -> vec2<u32> {
    let sum = x.x + x.y;
    return vec2(sum, ((x.y << by) | (x.y >> (32u - by))) ^ sum);
}

fn threefry(key: vec2<u32>, counter: vec2<u32>) -> vec2<u32> {
    let k = vec3(key, 0x1BD11BDAu ^ key.x ^ key.y);
    var x = counter + k.xy;
    for (var i = 0u; i < 5u; i++) {
        if i % 2u == 0u {
            x = threefry_mix(threefry_mix(threefry_mix(threefry_mix(x, 13u), 15u), 26u), 6u);
        } else {
            x = threefry_mix(threefry_mix(threefry_mix(threefry_mix(x, 17u), 29u), 16u), 24u);
        }
        x += vec2(k[(i + 1u) % 3u], k[(i + 2u) % 3u] + i + 1u);
    }
    return x;
}

// From 0 up to, but not, 1: 24 bits, which a float holds.
fn unit_floats(x: vec2<u32>) -> vec2<f32> {
    return vec2<f32>(x >> vec2(8u)) / 16777216.0;
}
