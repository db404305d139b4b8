use super::*;

/// Numbers about normal, from a seed.
fn numbers(n: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut uniform = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 24) as f32
    };
    (0..n).map(|_| (0..12).map(|_| uniform()).sum::<f32>() - 6.0).collect()
}

fn matrix(shape: [usize; 2], form: Form) -> Matrix {
    Matrix::new(&numbers(shape[0] * shape[1], 7), shape, form)
}

/// One in each form; in bf16 once more for the vectors, where there is a tile unit.
fn matrices(shape: [usize; 2]) -> Vec<(Form, Matrix)> {
    let on_vectors = Numbers::Bf16(pack::bf16(&numbers(shape[0] * shape[1], 7)));
    let more = (Form::Bf16, Matrix { shape, numbers: on_vectors });
    FORMS.into_iter().map(|form| (form, matrix(shape, form))).chain([more]).collect()
}

fn unpacked(matrix: &Matrix) -> Vec<f32> {
    let mut all = Vec::new();
    (0..matrix.shape[0]).for_each(|row| matrix.row(row, &mut all));
    all
}

const FORMS: [Form; 4] = [Form::F32, Form::Bf16, Form::Q8_0, Form::Q4K];

/// Widths with and without rests of every vector.
const WIDTHS: [usize; 7] = [16, 70, 96, 256, 512, 576, 1792];

#[test]
fn products_are_those_of_the_unpacked_numbers() {
    for width in WIDTHS {
        let (n_out, n) = (45, 6);
        for (form, matrix) in matrices([n_out, width]) {
            let x = numbers(n * width, 3);
            let got = times(&x, width, &[matrix.view()]).remove(0);
            let w = unpacked(&matrix);
            for (i, got) in got.iter().enumerate() {
                let (line, row) = (i / n_out, i % n_out);
                let pairs = x[line * width..][..width].iter().zip(&w[row * width..][..width]);
                let want: f64 = pairs.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
                // In 8 bits x is off by at most half of 1/127 of its block's largest number, about 4: each of the products is
                // off by 0.016 of a number near 1, at random; five standard errors of their sum.
                // In bf16 x is off by at most 2⁻⁸ of the power of two below it.
                let off = match form {
                    Form::F32 => 0.0,
                    Form::Bf16 => 0.004,
                    Form::Q8_0 | Form::Q4K => 0.016,
                };
                let bound = 1e-4 + 5.0 * off / 1.7 * (width as f64).sqrt();
                assert!((f64::from(*got) - want).abs() < bound, "{form:?} {width} {i}: {got} {want}");
            }
        }
    }
}

#[test]
fn a_row_is_the_same_to_the_bit_in_any_company() {
    for width in WIDTHS {
        for (form, matrix) in matrices([70, width]) {
            let x = numbers(41 * width, 5);
            let all = times(&x, width, &[matrix.view()]).remove(0);
            for (line, want) in x.chunks_exact(width).zip(all.chunks_exact(70)) {
                assert_eq!(times(line, width, &[matrix.view()])[0], want, "{form:?} {width}");
            }
        }
    }
}

#[test]
fn special_instructions_and_plain_ones_agree() {
    for width in WIDTHS {
        for (form, matrix) in matrices([9, width]) {
            let x = numbers(5 * width, 11);
            let got = times(&x, width, &[matrix.view()]).remove(0);
            let rows = Rows::new(&x, width, &[matrix.view()]);
            let mut want = vec![0f32; 45];
            plain::dots(matrix.view(), &rows, 0, &mut want.chunks_exact_mut(9).collect::<Vec<_>>());
            for (got, want) in got.iter().zip(&want) {
                // Both round in f32: about width · 2⁻²⁴ of the products' sizes.
                assert!((got - want).abs() < 2e-3, "{form:?} {width}: {got} {want}");
            }
        }
    }
}

#[test]
fn packing_is_as_exact_as_the_format_allows() {
    let x = numbers(64 * 1024, 1);
    let spread = |form| {
        let got = unpacked(&Matrix::new(&x, [64, 1024], form));
        let off: f64 = x.iter().zip(&got).map(|(a, b)| f64::from(a - b).powi(2)).sum();
        (off / x.len() as f64).sqrt()
    };
    assert_eq!(spread(Form::F32), 0.0);
    // bf16: at most 2⁻⁸ of the power of two below a number.
    assert!(spread(Form::Bf16) < 0.003);
    // Q8_0: a step is 1/127 of the largest of 32, about 2.1 standard deviations; errors are step/√12.
    assert!((0.003..0.007).contains(&spread(Form::Q8_0)), "{}", spread(Form::Q8_0));
    // Q4_K: 15 steps over about 4.1 standard deviations: 0.27/√12 = 0.079.
    assert!((0.05..0.09).contains(&spread(Form::Q4K)), "{}", spread(Form::Q4K));
}

#[test]
fn blocks_of_a_file_are_read_as_they_are() {
    // Scale 2 (0x4000); bytes 1, −1, then zeros.
    let mut q8 = vec![0x00, 0x40, 1, 0xff];
    q8.resize(34, 0);
    let got = unpacked(&Matrix::from_blocks(&q8, [1, 32], Form::Q8_0).unwrap());
    assert_eq!(got[..3], [2.0, -2.0, 0.0]);
    // d = 1, m = 0.5; part 0 has scale 2 and least number 3, part 1 scale 1 and 0, the others none; every byte is 0x21.
    let mut q4 = vec![0x00, 0x3c, 0x00, 0x38, 2, 1, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0];
    q4.resize(144, 0x21);
    let got = unpacked(&Matrix::from_blocks(&q4, [1, 256], Form::Q4K).unwrap());
    assert_eq!((got[0], got[32], got[64]), (2.0 * 1.0 - 1.5, 2.0, 0.0));
    assert!(Matrix::from_blocks(&q4, [1, 200], Form::Q4K).is_none());
}

#[test]
fn parts_of_six_bits_come_back() {
    // Scales 63 and 40 in the first and the sixth part, least numbers 17 and 50.
    let mut x = vec![0f32; 256];
    x.iter_mut().enumerate().for_each(|(i, x)| *x = (i % 16) as f32 * (1 + i / 32) as f32 - (i / 32) as f32);
    let got = unpacked(&Matrix::new(&x, [1, 256], Form::Q4K));
    for (want, got) in x.iter().zip(&got) {
        // Steps of up to 8; scales in 6 bits are off by up to 1/126 of the largest, 15 times.
        assert!((want - got).abs() < 1.1, "{want} {got}");
    }
}

#[test]
fn what_is_not_a_number_shows() {
    for (form, matrix) in matrices([3, 256]) {
        let mut x = vec![1f32; 256];
        x[100] = f32::NAN;
        let got = times(&x, 256, &[matrix.view()]).remove(0);
        assert!(got.iter().all(|y| y.is_nan()), "{form:?}: {got:?}");
    }
}

#[test]
fn forms_that_do_not_fit_a_width_give_way() {
    assert_eq!(Form::Q4K.fitting(576), Form::Q8_0);
    assert_eq!(Form::Q4K.fitting(70), Form::Bf16);
    assert_eq!(Form::Q8_0.fitting(576), Form::Q8_0);
    assert!(FORMS.iter().all(|form| Form::from_name(form.as_str()) == Some(*form)));
}
